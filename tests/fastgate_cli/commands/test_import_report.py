"""What an import says in the end."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastgate_cli.commands.import_report import describe_row, find_insecure, print_report
from fastgate_cli.commands.route_findings import Finding
from fastgate_cli.context import Invocation
from fastgate_cli.output import OutputOptions
from proxy.predecessor.notes import Note
from proxy.predecessor.plan import Plan, Tally


@pytest.fixture
def invocation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Invocation:
    monkeypatch.chdir(tmp_path)
    return Invocation(None, {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)})


def make_plan(**tallies: Tally) -> Plan:
    plan = Plan(Path("/old.db"))
    plan.tallies.update(tallies)  # type: ignore[arg-type]
    return plan


def test_a_row_is_named_by_its_kind_and_its_id() -> None:
    assert describe_row({"kind": "route", "id": "chat"}) == "route chat"
    assert describe_row({"kind": "log", "id": ""}) == "log"


def test_counts_are_told_in_words(invocation: Invocation, capsys: pytest.CaptureFixture[str]) -> None:
    plan = make_plan(keys=Tally(2, 1, 1, 0), routes=Tally(1, 1, 0, 1), logs=Tally(7))
    print_report(invocation, plan, [], OutputOptions("tsv"), dry_run=True)
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith("would import 1 key, 1 route into ")
    assert told[1:] == [
        "replaced: 1 route",
        "skipped: 1 key",
        "the 7 requests of its audit trail stay there; '--only logs' imports them",
    ]


def test_nothing_is_told_as_nothing(invocation: Invocation, capsys: pytest.CaptureFixture[str]) -> None:
    print_report(invocation, make_plan(), [], OutputOptions("tsv"), dry_run=False)
    assert capsys.readouterr().err.startswith("imported nothing into ")


def test_changes_and_findings_are_rows(invocation: Invocation, capsys: pytest.CaptureFixture[str]) -> None:
    plan = make_plan()
    plan.notes = [
        Note("log", "", "changed", "body", "decoded", 3),
        Note("key", "k", "warning", "permissions", "words"),
    ]
    finding = Finding("r", "error", "shadowed", "by another")
    print_report(invocation, plan, [finding], OutputOptions("tsv"), dry_run=False)
    assert capsys.readouterr().out.splitlines()[1:] == [
        "\tlog\tchanged\tbody\tdecoded (3)\t3",
        "k\tkey\twarning\tpermissions\twords\t1",
        "r\troute\terror\tshadowed\tby another\t1",
    ]


def test_secrets_of_routes_that_are_off_are_found_and_not_quoted() -> None:
    plan = make_plan()
    headers = {"Authorization": "Bearer sk-secret", "X-Plain": "1", "X-Key": "${env:KEY}"}
    plan.routes = [
        {"route_id": "off", "is_active": False, "add_headers": headers},
        {"route_id": "on", "is_active": True, "add_headers": headers},
    ]
    (finding,) = find_insecure(plan)
    assert (finding.route_id, finding.rule) == ("off", "insecure")
    assert "sk-secret" not in finding.message
