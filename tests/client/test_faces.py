"""Both clients have the same methods with the same parameters."""

import inspect

from tael_client import AsyncClient, Client

#: Necessary differences: the sleep function, and the context manager's methods.
OWN = {"__enter__", "__exit__", "__aenter__", "__aexit__", "__init__"}


def signatures(face: type) -> dict[str, list[tuple[str, object, object]]]:
    return {
        name: [(each.name, each.kind, each.default) for each in inspect.signature(method).parameters.values()]
        for name, method in inspect.getmembers(face, inspect.isfunction)
        if name not in OWN
    }


def test_the_async_client_has_the_methods_of_the_sync_one() -> None:
    assert signatures(AsyncClient) == signatures(Client)
    assert {"payment", "close", "refund", "reversal", "query", "query_all", "pay_and_wait", "wait"} <= set(
        signatures(Client)
    )


def test_both_constructors_are_equal_except_for_awaited_arguments() -> None:
    def made(face: type) -> list[str]:
        return list(inspect.signature(face).parameters)

    assert made(AsyncClient) == made(Client)
