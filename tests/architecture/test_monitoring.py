"""The samples for Prometheus and Grafana: valid, about metrics that exist, and each alert explained and tested.

Whether an alert fires is decided by Prometheus's own `promtool`, with the cases in `alerts_test.yml`.
"""

import importlib
import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from tael.base.metrics import Definition
from tael.channels.calls import CallResult
from tael.jobs.runner import RowResult
from tael.payments.domain.payment import State
from tael.qfpay.codes import Client
from tests.architecture.test_documented_names import definitions, series_of

ROOT: Final = Path(__file__).resolve().parents[2]
PROMETHEUS: Final = ROOT / "deploy" / "prometheus"
GRAFANA: Final = ROOT / "deploy" / "grafana"
RUNBOOK: Final = "docs/alerts.md"
ALERTS_PAGE: Final = ROOT / RUNBOOK
DASHBOARDS: Final = sorted(GRAFANA.glob("*.json"))
#: What each alert's section has.
PARTS: Final = ("Meaning", "Look", "Act")
SEVERITIES: Final = ("critical", "warning")
#: Of the scraped target, and of a histogram.
OTHER_LABELS: Final = {"job", "instance", "le"}
SELECTOR: Final = re.compile(r"\b(\w+)\{([^}]*)\}")
MATCHER: Final = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"')
GROUPING: Final = re.compile(r"\bby \(([^)]*)\)")
SERIES: Final = re.compile(r"\btael_\w+")
#: Of labels whose values the code names.
VALUES: Final = {
    ("tael_call_duration_seconds", "result"): set(map(str, Client)),
    ("tael_wallet_call_duration_seconds", "result"): set(map(str, CallResult)),
    ("tael_payment_state_changes_total", "state"): set(map(str, State)),
    ("tael_job_row_duration_seconds", "result"): set(map(str, RowResult)),
}
#: The variable of Grafana, as a duration for promtool.
RATE_INTERVAL: Final = "$__rate_interval"

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is missing (Debian: prometheus)"
)


def read_yaml(path: Path) -> Any:
    """PyYAML has no types; it is here because other development tools need it."""
    return importlib.import_module("yaml").safe_load(path.read_text("utf-8"))


@cache
def rules() -> Sequence[dict[str, Any]]:
    return [rule for group in read_yaml(PROMETHEUS / "alerts.yml")["groups"] for rule in group["rules"]]


@cache
def cases() -> dict[str, Any]:
    """The tests of alerts, by name."""
    return {case["name"]: case for case in read_yaml(PROMETHEUS / "alerts_test.yml")["tests"]}


@cache
def panels() -> Sequence[tuple[str, dict[str, Any]]]:
    """The panels of all dashboards, each with its dashboard's file."""
    return [
        (path.name, panel) for path in DASHBOARDS for panel in json.loads(path.read_text("utf-8"))["panels"]
    ]


@cache
def expressions() -> Sequence[tuple[str, str]]:
    """All queries, with the place of each."""
    of_alerts = [(rule["alert"], rule["expr"]) for rule in rules()]
    of_panels = [
        (f"{file}: {panel['title']}", target["expr"])
        for file, panel in panels()
        for target in panel["targets"]
    ]
    return [*of_alerts, *of_panels]


def by_series() -> dict[str, Definition]:
    return {name: definition for definition in definitions() for name in series_of(definition)}


def promtool(*arguments: str) -> str:
    """Its output. Fails if it does."""
    done = subprocess.run(
        ["promtool", *arguments], cwd=PROMETHEUS, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# ---- metrics and labels --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("place", "expression"), expressions())
def test_a_query_is_about_metrics_that_the_gateway_has(place: str, expression: str) -> None:
    named = set(SERIES.findall(expression))
    assert named <= by_series().keys()
    assert named or 'job="tael"' in expression, "about no metric of ours"
    # A histogram is read by its series.
    assert not {
        name for name in named if by_series()[name].kind == "histogram" and by_series()[name].name == name
    }


@pytest.mark.parametrize(("place", "expression"), expressions())
def test_a_query_uses_labels_and_values_that_its_metrics_have(place: str, expression: str) -> None:
    metrics = {by_series()[name] for name in SERIES.findall(expression)}
    known = {label for metric in metrics for label in metric.labels} | OTHER_LABELS
    assert {label.strip() for group in GROUPING.findall(expression) for label in group.split(",")} <= known
    for name, matchers in SELECTOR.findall(expression):
        for label, values in MATCHER.findall(matchers):
            definition = by_series().get(name)
            assert label in OTHER_LABELS | set(definition.labels if definition else ())
            if definition and (allowed := VALUES.get((definition.name, label))):
                assert set(values.split("|")) <= allowed


def test_what_is_in_the_database_is_not_added_up_over_processes() -> None:
    """Every API process reports the same."""
    for place, expression in expressions():
        if re.search(
            r"tael_(incidents|accounts|calls_shed|differences|unmatched|queue|certificate)_", expression
        ):
            assert "sum" not in expression, place


def test_every_metric_is_in_a_dashboard_or_an_alert() -> None:
    """Except those that others include: incidents by kind, amounts of unmatched payments, uncounted requests."""
    shown = {by_series()[name].name for _, expression in expressions() for name in SERIES.findall(expression)}
    assert {each.name for each in definitions()} - shown == {
        "tael_incidents_total",
        "tael_unmatched_amount_minor",
        "tael_rate_limit_unchecked_requests_total",
    }


# ---- alerts --------------------------------------------------------------------------------------------------------


def test_every_alert_is_explained_and_no_other() -> None:
    sections = re.split(r"^## ", ALERTS_PAGE.read_text("utf-8"), flags=re.MULTILINE)[1:]
    explained = {section.partition("\n")[0]: section for section in sections}
    assert list(explained) == [rule["alert"] for rule in rules()]
    for rule in rules():
        section = explained[rule["alert"]]
        assert re.findall(r"^\*\*(\w+)\.\*\*", section, re.MULTILINE) == list(PARTS)
        assert f"{rule['labels']['severity']}" in section.splitlines()[2]


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_an_alert_has_a_severity_a_summary_and_a_runbook(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in SEVERITIES
    assert rule["annotations"]["summary"].endswith(".")
    assert rule["annotations"]["runbook_url"] == f"{RUNBOOK}#{rule['alert'].lower()}"


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_an_alert_has_a_case_that_fires_and_one_that_does_not(rule: dict[str, Any]) -> None:
    tested = cases()[rule["alert"]]["alert_rule_test"]
    assert {case["alertname"] for case in tested} == {rule["alert"]}
    assert [bool(case["exp_alerts"]) for case in tested] == [False, True]


@needs_promtool
def test_the_rules_and_the_sample_configuration_are_valid() -> None:
    assert f"{len(rules())} rules found" in promtool("check", "rules", "--lint-fatal", "alerts.yml")
    promtool("check", "config", "prometheus.yml")


@needs_promtool
def test_alerts_fire_when_they_should_and_only_then() -> None:
    assert "SUCCESS" in promtool("test", "rules", "alerts_test.yml")


# ---- dashboards ----------------------------------------------------------------------------------------------------


@needs_promtool
def test_the_queries_of_dashboards_are_valid(tmp_path: Path) -> None:
    """As recording rules, since promtool checks no dashboards."""
    targets = [target for _, panel in panels() for target in panel["targets"]]
    recorded = [
        {"record": f"panel:{number}", "expr": target["expr"].replace(RATE_INTERVAL, "1m")}
        for number, target in enumerate(targets)
    ]
    file = tmp_path / "dashboards.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboards", "rules": recorded}]}))
    assert f"{len(targets)} rules found" in promtool("check", "rules", str(file))


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: str(path.name))
def test_a_dashboard_has_one_data_source_and_panels_with_units(path: Path) -> None:
    """The data source is chosen in Grafana, so that the file fits any installation."""
    board = json.loads(path.read_text("utf-8"))
    assert board["uid"] == f"tael-{path.stem}"
    assert [each["name"] for each in board["templating"]["list"]] == ["datasource"]
    titles = [panel["title"] for panel in board["panels"]]
    assert len(titles) == len(set(titles))
    for panel in board["panels"]:
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["fieldConfig"]["defaults"]["unit"]
    assert {panel["id"] for panel in board["panels"]} == set(range(1, len(titles) + 1))


def test_the_samples_name_no_host_but_this_one() -> None:
    for path in (*DASHBOARDS, *PROMETHEUS.glob("*.yml")):
        assert "://" not in path.read_text("utf-8"), path.name
