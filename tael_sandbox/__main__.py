"""`python -m tael_sandbox`: prints one JSON line when it listens, then serves until it is told to end."""

import uvloop

from tael_sandbox.main import parse_arguments, serve

if __name__ == "__main__":
    uvloop.run(serve(parse_arguments()))
