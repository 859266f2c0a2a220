"""`python -m tael_sandbox.shop`: serves until it gets a signal."""

from tael_sandbox.shop.main import main

if __name__ == "__main__":
    main()
