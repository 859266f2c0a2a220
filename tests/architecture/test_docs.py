"""The documents agree with the code: generated pages are current, links resolve, commands exist."""

import inspect
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest
import typer.main

from tael import config
from tael.cli.app import app
from tael_demo import demo
from tael_sandbox.certificates import ALIPAY_HOSTS, WECHAT_HOSTS
from tael_sandbox.codes import BEHAVIOURS
from tests.sdk import environments as sdk_environments
from tests.support import citus

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    [
        *ROOT.glob("*.md"),
        *(
            path
            for folder in ("docs", "client", "conformance", "demo", "examples")
            for path in (ROOT / folder).rglob("*.md")
        ),
    ]
)

LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
#: Only in code: the name is also the project's.
IN_CODE = re.compile(r"`([^`\n]+)`")
COMMAND = re.compile(r"(?:^|[\s/`(])tael((?: [a-z]+(?:-[a-z]+)*)+)")
SETTING = re.compile(r"\bTAEL_[A-Z_]*[A-Z]\b")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]+")
#: Settings and options that were renamed: only the changelog may name them.
OLD_NAMES: Final = {
    "TAEL_RETURN_STRAY_MONEY",
    "TAEL_SEAL_KEY",
    "--alipay-public-key-file",
    "--all-dead",
    "--appid",
    "--certificate-file",
    "--certificate-key-file",
    "--closes-trades",
    "--fills-currency",
    "--later-cancel",
    "--mch-id",
    "--most-minor",
    "--pid",
    "--private-key-file",
    "--return-stray-money",
    "--scene",
    "--sign-type",
    "--sub-appid",
    "--sub-mch-id",
    "--sub-secret-file",
    "--takes-hongkong",
    "--takes-partial-refunds",
    "--tells-offline",
}
#: Words that belong to a workplace and not to a reader.
FORBIDDEN = ("shared/", "/work", "issue", "sitting")


@pytest.fixture(params=DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def document(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_generated_pages_are_current() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "generate.py", "--check"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_every_relative_link_resolves(document: Path) -> None:
    for target in LINK.findall(FENCE.sub("", document.read_text("utf-8"))):
        if "://" in target or target.startswith("mailto:"):
            continue
        name, _, anchor = target.partition("#")
        path = (document.parent / name).resolve() if name else document
        assert path.exists(), target
        assert path.is_relative_to(ROOT), target
        if anchor:
            assert anchor in anchors(path), target


def test_every_command_that_is_named_exists(document: Path) -> None:
    for line in code_of(document):
        for words in COMMAND.findall(line):
            assert known_path(words.split()), f"tael{words}"


def test_every_option_of_a_command_exists(document: Path) -> None:
    for line in code_of(document):
        match = COMMAND.search(line)
        if match:
            command = known_path(match.group(1).split())[-1]
            known = {name for param in command.params for name in (*param.opts, *param.secondary_opts)}
            named = set(OPTION.findall(line[match.end() :]))
            assert named <= known | {"--help"}, line


def test_every_setting_that_is_named_exists(document: Path) -> None:
    known = set(SETTING.findall(inspect.getsource(config) + inspect.getsource(demo)))
    known |= {"TAEL_DATABASE_URL_FILE", "TAEL_ENCRYPTION_KEY_FILE"}  # put together from the name
    known |= set(SETTING.findall(inspect.getsource(sdk_environments) + inspect.getsource(citus)))
    assert set(SETTING.findall(document.read_text("utf-8"))) - old_names(document) <= known


def test_every_behaviour_of_a_code_is_in_the_sandbox_page() -> None:
    page = (ROOT / "docs" / "sandbox.md").read_text("utf-8")
    assert not [name for name in BEHAVIOURS if f"`{name}`" not in page]


@pytest.mark.parametrize("page", ["sandbox.md", "sdks.md"])
def test_every_host_of_the_wallets_that_the_sandbox_serves_is_on_the_page(page: str) -> None:
    text = (ROOT / "docs" / page).read_text("utf-8")
    named = set(re.findall(r"[\w.]+\.(?:mch\.weixin\.qq\.com|alipay\.com|alipaydev\.com)", text))
    assert set(ALIPAY_HOSTS + WECHAT_HOSTS) == named


def test_no_document_mentions_the_development_environment(document: Path) -> None:
    text = document.read_text("utf-8").lower()
    assert not [word for word in FORBIDDEN if word in text]


def old_names(document: Path) -> set[str]:
    return OLD_NAMES if document.name == "CHANGELOG.md" else set()


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", path.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def code_of(path: Path) -> list[str]:
    """The code of a page: the lines of its blocks, and the text between backticks.

    Continued lines are joined; diagrams and sentences that only mention the program are not commands.
    """
    text = path.read_text("utf-8")
    blocks = [block for block in FENCE.findall(text) if re.match(r"```(?:sh|bash|console)\b", block)]
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()[1:-1]]
    return [*(line.partition(" # ")[0] for line in lines), *IN_CODE.findall(FENCE.sub("", text))]


@cache
def whole_command() -> Any:
    """`tael` with all that is below it."""
    return typer.main.get_command(app)


def known_path(words: list[str]) -> list[Any]:
    """The chain of commands that `words` name, empty if one does not exist; the rest are arguments.

    Loosely typed: Typer has its own copy of Click.
    """
    command = whole_command()
    path = []
    for word in words:
        commands: dict[str, Any] | None = getattr(command, "commands", None)
        if commands is None:
            break
        if word not in commands:
            return []
        command = commands[word]
        path.append(command)
    return path
