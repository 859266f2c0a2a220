"""The image, and the samples that run it: their commands and settings are those of the program."""

import base64
import os
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
import typer.main
import yaml

from tael.cli.app import app
from tael.cli.deployment import refuse_demo_settings
from tael.cli.serving import STOP_LIMIT_S
from tael.config import read_database_url, read_settings
from tests.integration.cli.test_listeners import ROOT
from tests.support.ports import HOST, reserved_ports
from tests.support.postgres import temporary_database

COMPOSE: Final = yaml.safe_load((ROOT / "deploy/container/compose.yaml").read_text("utf-8"))
KUBERNETES: Final = list(yaml.safe_load_all((ROOT / "deploy/kubernetes/tael.yaml").read_text("utf-8")))
CONTAINERFILE: Final = (ROOT / "deploy/container/Containerfile").read_text("utf-8")
SECRETS: Final = {
    "database_url": "postgresql://tael_gateway:secret@db.example/tael",
    "owner_url": "postgresql://tael:secret@db.example/tael",
    "encryption_keys": base64.b64encode(bytes(32)).decode(),
}
RUN: Final = {"migrate", "serve", "work"}
#: Of a container without one.
PRE_STOP: Final = {"preStop": {"exec": {"command": ["sleep", "0"]}}}
IMAGE: Final = "TAEL_TEST_IMAGE"
START_TRIES: Final = 100


def compose_services() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Those of the gateway's image."""
    for name, service in COMPOSE["services"].items():
        if service["image"] == "localhost/tael":
            yield name, service


def pods() -> Iterator[tuple[str, Mapping[str, Any]]]:
    for resource in KUBERNETES:
        if resource["kind"] in ("Job", "Deployment"):
            yield resource["metadata"]["name"], resource["spec"]["template"]["spec"]


def commands() -> Iterator[tuple[str, Sequence[str]]]:
    for name, service in compose_services():
        yield f"compose-{name}", service["command"]
    for name, pod in pods():
        yield f"kubernetes-{name}", pod["containers"][0]["args"]
    (line,) = [line for line in CONTAINERFILE.splitlines() if line.startswith("CMD ")]
    yield "image", yaml.safe_load(line.removeprefix("CMD "))


COMMANDS: Final = dict(commands())


def with_secrets(environment: Mapping[str, str], folder: Path) -> Mapping[str, str]:
    """The same settings, with the files of secrets in `folder`."""
    for name, secret in SECRETS.items():
        (folder / name).write_text(secret)
    return {
        name: str(folder / Path(value).name) if name.endswith("_FILE") else value
        for name, value in environment.items()
    }


def test_every_process_is_run() -> None:
    assert {command[0] for name, command in COMMANDS.items() if name.startswith("compose")} == RUN
    assert {command[0] for name, command in COMMANDS.items() if name.startswith("kubernetes")} == RUN


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_options_that_exist(name: str) -> None:
    command, *arguments = COMMANDS[name]
    group: Any = typer.main.get_command(app)  # of Typer's own Click
    group.commands[command].make_context(command, list(arguments))


@pytest.mark.parametrize("name", ["gateway", "worker"])
def test_the_settings_of_a_compose_service_are_those_of_a_deployment(name: str, tmp_path: Path) -> None:
    environment = COMPOSE["services"][name]["environment"] | {"TAEL_DOCUMENTS": str(tmp_path)}
    refuse_demo_settings(read_settings(with_secrets(environment, tmp_path)), allow_http=False)


def test_the_settings_of_kubernetes_are_those_of_a_deployment(tmp_path: Path) -> None:
    (settings,) = [each["data"] for each in KUBERNETES if each["kind"] == "ConfigMap"]
    refuse_demo_settings(read_settings(with_secrets(settings, tmp_path)), allow_http=False)


def test_migrations_know_the_database_only(tmp_path: Path) -> None:
    (job,) = [pod for name, pod in pods() if name == "tael-migrate"]
    of_job = {each["name"]: each["value"] for each in job["containers"][0]["env"]}
    for environment in (COMPOSE["services"]["migrate"]["environment"], of_job):
        assert environment.keys() == {"TAEL_DATABASE_URL_FILE"}
        assert read_database_url(with_secrets(environment, tmp_path)).reveal() in SECRETS.values()


def test_a_secret_that_is_named_is_mounted() -> None:
    for name, service in compose_services():
        files = [Path(value).name for key, value in service["environment"].items() if key.endswith("_FILE")]
        assert set(files) <= set(service["secrets"]) <= COMPOSE["secrets"].keys(), name
    (settings,) = [each["data"] for each in KUBERNETES if each["kind"] == "ConfigMap"]
    of_settings = {Path(value).name for key, value in settings.items() if key.endswith("_FILE")}
    for name, pod in pods():
        (secret,) = [volume["secret"] for volume in pod["volumes"] if "secret" in volume]
        mounted = {item["path"] for item in secret["items"]}
        assert mounted == ({"owner_url"} if name == "tael-migrate" else of_settings), name


def test_a_process_is_killed_only_after_its_time_to_finish_its_work() -> None:
    for name, service in compose_services():
        if name != "migrate":
            assert int(service["stop_grace_period"].removesuffix("s")) > STOP_LIMIT_S, name
    for name, pod in pods():
        if name != "tael-migrate":
            before_s = int(pod["containers"][0].get("lifecycle", PRE_STOP)["preStop"]["exec"]["command"][1])
            assert pod["terminationGracePeriodSeconds"] - before_s > STOP_LIMIT_S, name


def test_probes_ask_the_operations_port_and_the_public_one_is_the_service() -> None:
    for name, pod in pods():
        (container,) = pod["containers"]
        ports = {each["name"]: each["containerPort"] for each in container.get("ports", ())}
        if "livenessProbe" in container:
            assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "ops"}, name
            assert str(ports["ops"]) == container["args"][container["args"].index("--ops-port") + 1], name
    (service,) = [each for each in KUBERNETES if each["kind"] == "Service"]
    assert service["spec"]["ports"][0]["targetPort"] == "http"
    assert ports_published() == {"proxy"}


def ports_published() -> set[str]:
    return {name for name, service in COMPOSE["services"].items() if "ports" in service}


def test_the_image_migrates_and_serves(postgres_server: str, tmp_path: Path) -> None:
    image, buildah = os.environ.get(IMAGE), shutil.which("buildah")
    if image is None or buildah is None:
        pytest.skip(f"{IMAGE} names no image, or buildah is not installed; `make image` builds one")
    with temporary_database(postgres_server, "template1") as url, reserved_ports(2) as (port, ops_port):
        settings = {
            "TAEL_DATABASE_URL": url,
            "TAEL_ENCRYPTION_KEY": SECRETS["encryption_keys"],
            "TAEL_PUBLIC_URL": "https://pay.example",
        }
        given = [part for name, value in settings.items() for part in ("--env", f"{name}={value}")]
        container = run(buildah, "from", image).strip()
        try:
            assert "migrations applied" in run(buildah, "run", *given, container, "tael", "migrate")
            served = subprocess.Popen(
                (
                    *(buildah, "run", *given, container, "tael", "serve", "--host", HOST),
                    *("--port", str(port), "--ops-port", str(ops_port)),
                )
            )
            try:
                wait_until_ready(f"http://{HOST}:{ops_port}/readyz", served)
            finally:
                served.terminate()
                served.wait(STOP_LIMIT_S)
        finally:
            run(buildah, "rm", container)


def run(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def wait_until_ready(url: str, served: "subprocess.Popen[bytes]") -> None:
    for _ in range(START_TRIES):
        assert served.poll() is None
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except (urllib.error.URLError, ConnectionError):
            with pytest.raises(subprocess.TimeoutExpired):
                served.wait(0.2)
    raise AssertionError("not ready")
