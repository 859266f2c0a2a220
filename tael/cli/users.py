"""`tael user`: merchants' users, who sign in to permit apps to read data (OAuth)."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from tael.audit_log.domain.entry import Origin
from tael.base import ids
from tael.base.secret import Secret
from tael.cli import inputs
from tael.cli.finding import DataOption, change_store, with_store
from tael.cli.showing import JsonOption, refused, show_json, show_members, show_rows
from tael.oauth.domain.user import User
from tael.oauth.store.users import UsernameTaken
from tael.oauth.users import PASSWORD, NoSuchUser, disable_user, new_user, set_password
from tael.operations.store import Store

users: Final = typer.Typer(
    help="Manage merchants' users, who permit apps to read data.", no_args_is_help=True
)

COLUMNS: Final = ("userid", "mchid", "username", "nickname", "is_disabled", "created_at")
UsernameArgument = Annotated[str, typer.Argument(metavar="USERNAME", help="The name to sign in with.")]
PasswordFileOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="File with the password, 10 to 128 characters. Default: generated."),
]


@users.command("add")
def add(
    mchid: Annotated[str, typer.Argument(metavar="MCHID", help="The merchant that the user belongs to.")],
    username: Annotated[
        str, typer.Option(help="The name to sign in with, in lower case; unique over all merchants.")
    ],
    nickname: Annotated[str, typer.Option(help="The name that apps see.")],
    password_file: PasswordFileOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Add a user to a merchant. A generated password is shown once."""
    password = _password(password_file)

    async def work(store: Store, origin: Origin) -> User:
        user = new_user(mchid, username, nickname, password, origin)
        await store.users.add(user, origin)
        return user

    with inputs.options_named():
        user = _changed("user add", data, work)
    _show(user, as_json, None if password_file else password)


@users.command("list")
def list_users(
    mchid: Annotated[str | None, typer.Option(help="Only the users of this merchant.")] = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """List users, oldest first."""

    async def work(store: Store, now: datetime) -> list[User]:
        return list(await store.users.all(mchid))

    rows = [_row(user) for user in with_store(data, work)]
    if as_json:
        show_json(rows)
    else:
        show_rows(rows, COLUMNS)


@users.command("set-password")
def change_password(
    username: UsernameArgument,
    password_file: PasswordFileOption = None,
    data: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Replace a user's password. Ends the user's sessions and all tokens. A generated password is shown once."""
    password = _password(password_file)

    async def work(store: Store, origin: Origin) -> User:
        return await set_password(store.users, username, password, origin)

    user = _changed("user set-password", data, work)
    _show(user, as_json, None if password_file else password)


@users.command("disable")
def disable(username: UsernameArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Stop a user from signing in. Ends the user's sessions and all tokens."""
    user = _changed(
        "user disable", data, lambda store, origin: disable_user(store.users, username, True, origin)
    )
    _show(user, as_json)


@users.command("enable")
def enable(username: UsernameArgument, data: DataOption = None, as_json: JsonOption = False) -> None:
    """Permit a disabled user to sign in again."""
    user = _changed(
        "user enable", data, lambda store, origin: disable_user(store.users, username, False, origin)
    )
    _show(user, as_json)


def _password(file: Path | None) -> Secret:
    return Secret(ids.password()) if file is None else inputs.secret_in(file, PASSWORD, "--password-file")


def _changed(command: str, folder: Path | None, work: Callable[[Store, Origin], Awaitable[User]]) -> User:
    try:
        return change_store(command, folder, work)
    except (NoSuchUser, UsernameTaken, LookupError) as error:
        raise refused(str(error)) from error


def _show(user: User, as_json: bool, generated: Secret | None = None) -> None:
    row = _row(user) | ({"password": generated.reveal()} if generated else {})
    if as_json:
        show_json(row)
    else:
        show_members(row)


def _row(user: User) -> dict[str, Any]:
    return {name: getattr(user, name) for name in COLUMNS}
