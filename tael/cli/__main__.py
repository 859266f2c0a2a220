"""`python -m tael.cli` runs the `tael` command."""

from tael.cli.app import main

main()
