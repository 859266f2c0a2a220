"""`python -m tael_sandbox.shop`: serves until it is told to end."""

from tael_sandbox.shop.main import main

if __name__ == "__main__":
    main()
