"""The sandbox as a program that is forked: see `tests.support.forks`."""

import uvloop


def preload() -> None:
    import tael_sandbox.main  # noqa: F401 - the costly part, once


def main(arguments: list[str]) -> None:
    """As `python -m tael_sandbox`."""
    from tael_sandbox.main import parse_arguments, serve

    uvloop.run(serve(parse_arguments(arguments)))
