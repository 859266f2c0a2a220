"""`python -m tael.cli`: the same as the command `tael`."""

from tael.cli.app import main

main()
