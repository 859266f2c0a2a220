"""`python -m tael_conformance`."""

from tael_conformance.app import main

main()
