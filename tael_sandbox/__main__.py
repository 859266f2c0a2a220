"""`python -m tael_sandbox`: prints one JSON line once it listens, then serves until it gets a signal."""

import uvloop

from tael_sandbox.main import parse_arguments, serve

if __name__ == "__main__":
    uvloop.run(serve(parse_arguments()))
