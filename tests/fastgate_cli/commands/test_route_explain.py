"""`fastgate routes explain`, run as people and scripts run it."""

from __future__ import annotations

import json
import sqlite3
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., subprocess.CompletedProcess[str]]
TerminalCli = Callable[..., tuple[int, str]]
SECRET = "sk-very-secret-value-9876"
ROUTES: tuple[tuple[str, ...], ...] = (
    (
        "--id",
        "qwen",
        "--match",
        "/v1/*",
        "--to",
        "http://gpu:1",
        "--body",
        "model=qwen3",
        "--set-body",
        "seed=7",
    ),
    (
        "--id",
        "rest",
        "--match",
        "/v1/*",
        "--to",
        "https://api",
        "--set-header",
        f"Authorization: Bearer {SECRET}",
    ),
    (
        "--id",
        "refs",
        "--match",
        "/refs",
        "--to",
        "http://b/x",
        "--set-header",
        "Authorization: Bearer ${env:TOKEN}",
    ),
    ("--id", "off", "--match", "/v1/*", "--to", "http://c", "--disabled"),
    ("--id", "key", "--match", "/key", "--to", "http://d", "--set-body", f'api_key="{SECRET}"'),
)


@pytest.fixture(autouse=True)
def routes(cli: Cli) -> None:
    for arguments in ROUTES:
        assert cli("routes", "add", *arguments).returncode == 0


def explain(cli: Cli, *arguments: str, note: str = "", **env: str) -> dict[str, Any]:
    """Return the explanation; `note` is what is told beside it."""
    done = cli("routes", "explain", *arguments, "--json", env=env)
    assert (done.returncode, done.stderr) == (0, note)
    assert SECRET not in done.stdout
    row: dict[str, Any] = json.loads(done.stdout)
    return row


def candidates_of(row: dict[str, Any]) -> list[tuple[str, bool, str | None]]:
    return [(one["route_id"], one["matched"], one["failed_on"]) for one in row["candidates"]]


def test_every_field_of_the_contract_is_there(cli: Cli) -> None:
    row = explain(cli, "POST", "/v1/chat?a=1", "--data", '{"model": "qwen3"}')
    assert list(row) == [
        "matched",
        "refusal",
        "key_id",
        "target_url",
        "request_headers",
        "request_body",
        "candidates",
    ]
    assert (row["matched"], row["refusal"], row["key_id"]) == ("qwen", None, None)
    assert row["target_url"] == "http://gpu:1/v1/chat?a=1"
    assert row["request_body"] == '{"model": "qwen3","seed":7}'
    headers = dict(row["request_headers"])
    assert (headers["host"], headers["content-type"]) == ("gpu:1", "application/json")
    assert headers["content-length"] == str(len(row["request_body"]))
    assert candidates_of(row) == [
        ("refs", False, "path"),
        ("key", False, "path"),
        ("qwen", True, None),
        ("rest", False, None),
        ("off", False, "disabled"),
    ]


def test_a_body_that_does_not_fit_lets_the_next_route_serve(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "body.json").write_text('{"model": "other"}')
    row = explain(cli, "POST", "/v1/chat", "--data", "@body.json")
    assert (row["matched"], row["request_body"]) == ("rest", None)
    assert ("qwen", False, "body") in candidates_of(row)
    assert dict(row["request_headers"])["authorization"] == "•••9876"


@pytest.mark.parametrize(("method", "status"), [("GET", 200), ("POST", 400)])
def test_a_page_of_the_gateway_is_its_own_whatever_the_routes_say(cli: Cli, method: str, status: int) -> None:
    assert cli("routes", "add", "--match", "/health", "--to", "http://e").returncode == 0
    row = explain(cli, method, "/health")
    assert (row["matched"], row["target_url"], row["request_headers"]) == (None, None, None)
    assert (row["refusal"]["status"], row["refusal"]["code"]) == (status, "own_page")
    assert row["candidates"] == []  # no route is tried


PREFLIGHT = ("--header", "Origin: https://a.example", "--header", "Access-Control-Request-Method: POST")


def test_a_preflight_comes_without_a_key_and_is_answered_if_cors_says_so(cli: Cli) -> None:
    refusal = explain(cli, "OPTIONS", "/v1/models", *PREFLIGHT)["refusal"]
    assert (refusal["status"], refusal["code"]) == (401, "missing_api_key")
    assert "cors.enabled" in refusal["message"]
    row = explain(cli, "OPTIONS", "/v1/models", *PREFLIGHT, FASTGATE_CORS_ENABLED="true")
    assert (row["refusal"]["status"], row["refusal"]["code"]) == (204, "preflight")
    assert (row["matched"], row["key_id"], row["candidates"]) == (None, None, [])


def test_origin_goes_to_no_backend_where_the_gateway_judges_it(cli: Cli) -> None:
    for enabled in (False, True):
        env = {"FASTGATE_CORS_ENABLED": str(enabled).lower()}
        row = explain(cli, "GET", "/v1/models", "--header", "Origin: https://a.example", **env)
        assert ("origin" in dict(row["request_headers"])) is not enabled


def test_a_key_in_the_query_is_the_one_that_counts_and_a_parameter_of_that_name_is_none(cli: Cli) -> None:
    made = json.loads(cli("keys", "create", "--json").stdout)
    row = explain(cli, "GET", f"/v1/models?key={made['key']}&a=1")
    assert (row["key_id"], row["target_url"]) == (made["key_id"], "https://api/v1/models?a=1")
    row = explain(cli, "GET", "/v1/models?key=value")
    assert (row["matched"], row["key_id"], row["refusal"]) == ("rest", None, None)


def test_what_is_no_key_goes_to_the_backend_if_the_route_says_so(cli: Cli) -> None:
    key = json.loads(cli("keys", "create", "--json").stdout)["key"]
    headers = ("--header", "Authorization: Bearer theirs-theirs-theirs", "--header", f"X-Api-Key: {key}")
    assert cli("routes", "add", "--id", "pass", "--match", "/pass", "--to", "http://p").returncode == 0
    for options, sent in (((), None), (("--pass-credential",), "•••eirs")):
        assert cli("routes", "update", "pass", "--priority", "50", *options).returncode == 0
        row = explain(cli, "GET", "/pass", *headers)
        assert row["matched"] == "pass"
        assert dict(row["request_headers"]).get("authorization") == sent
        assert "x-api-key" not in dict(row["request_headers"])


def test_arguments_in_the_other_order_are_told(cli: Cli) -> None:
    done = cli("routes", "explain", "/v1/models", "GET")
    assert (done.returncode, done.stdout) == (2, "")
    assert "'/v1/models' is a path, not a method" in done.stderr


def test_references_are_shown_as_written_and_secret_fields_masked(cli: Cli) -> None:
    headers_given = ("--header", "Cookie: a-long-session-id", "--header", "X-A: é")
    row = explain(cli, "GET", "/refs?api_key=s3cret", *headers_given, TOKEN="t0ken")
    assert row["target_url"] == "http://b/x?api_key=[redacted]"
    headers = dict(row["request_headers"])
    assert headers["authorization"] == "Bearer ${env:TOKEN}"
    assert headers["cookie"] == "•••n-id"
    assert explain(cli, "POST", "/key", "--data", "{}")["request_body"] == '{"api_key":"•••9876"}'


def test_a_route_that_refers_to_no_file_is_left_out_as_the_gateway_does_it(cli: Cli, tmp_path: Path) -> None:
    set_header = ("--set-header", "X-Key: ${file:secrets/none}")
    for name, pattern, *more in (("first", "/v1/*"), ("alone", "/alone"), ("shut", "/v1/*", "--disabled")):
        add = ("--id", name, "--match", pattern, "--to", "http://f", "--priority", "1")
        assert cli("routes", "add", *add, *set_header, *more).returncode == 0
    row = explain(cli, "GET", "/v1/models")
    assert row["matched"] == "rest"
    found = {one["route_id"]: one for one in row["candidates"]}
    assert (found["first"]["matched"], found["first"]["failed_on"]) == (False, "disabled")
    assert found["first"]["reason"] == "left out: ${file:secrets/none} stands for nothing"
    assert found["shut"]["reason"] == "the route is switched off"
    assert explain(cli, "GET", "/alone")["refusal"]["code"] == "no_route"
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "none").write_text(SECRET)
    assert explain(cli, "GET", "/v1/models")["matched"] == "first"


def test_a_variable_that_is_set_here_is_judged_and_one_that_is_not_is_told(cli: Cli) -> None:
    assert explain(cli, "GET", "/refs", TOKEN="t0ken")["matched"] == "refs"
    row = explain(cli, "GET", "/refs", TOKEN="")
    assert (row["matched"], row["refusal"]["code"]) == (None, "no_route")
    assert ("refs", False, "disabled") in candidates_of(row)
    note = "note: only the gateway can tell whether ${env:TOKEN} stands for something"
    note += "; if it does not, refs is left out\n"
    assert explain(cli, "GET", "/refs", note=note)["matched"] == "refs"
    assert explain(cli, "GET", "/v1/models")["matched"] == "rest"  # and of refs nothing is told


def test_a_refusal_is_an_answer_too(cli: Cli) -> None:
    row = explain(cli, "GET", "/nowhere")
    assert (row["matched"], row["target_url"], row["request_headers"]) == (None, None, None)
    assert row["refusal"] == {"status": 404, "code": "no_route", "message": "no route matches this request"}
    assert explain(cli, "GET", "/v1/../x")["refusal"]["status"] == 400
    assert explain(cli, "POST", "/key", "--data", "{")["refusal"]["code"] == "bad_request"


def test_keys_are_told_by_id_or_by_their_secret(cli: Cli) -> None:
    done = cli("keys", "create", "--permission", "GET /v1/*", "--permission", "model:qwen*", "--json")
    key = json.loads(done.stdout)
    for named in (key["key_id"], key["key"]):
        row = explain(cli, "GET", "/v1/models", "--key", named)
        assert (row["key_id"], row["refusal"], row["matched"]) == (key["key_id"], None, "rest")
        row = explain(cli, "POST", "/v1/chat", "--key", named, "--data", '{"model": "qwen3"}')
        assert (row["refusal"]["status"], row["matched"]) == (403, "qwen")
        assert key["key"] not in json.dumps(row)
    row = explain(cli, "GET", "/v1/models", "--header", f"X-API-Key: {key['key']}")
    assert row["key_id"] == key["key_id"]
    assert cli("keys", "disable", key["key_id"]).returncode == 0
    row = explain(cli, "GET", "/v1/models", "--key", key["key_id"])
    assert (row["refusal"]["status"], row["matched"]) == (401, None)
    assert explain(cli, "GET", "/v1/models", "--key", "fg_unknown")["refusal"]["code"] == "invalid_api_key"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--key", "key_nosuch"], 3),
        (["--header", "no colon"], 2),
        (["--header", "bad name: x"], 2),
        (["--key", "fg_a", "--header", "Authorization: Bearer fg_b"], 2),
        (["--data", "@nosuch"], 2),
    ],
)
def test_bad_input_is_an_error(cli: Cli, arguments: list[str], code: int) -> None:
    done = cli("routes", "explain", "GET", "/v1/x", *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert "fg_b" not in done.stderr


def test_a_route_that_cannot_be_used_is_named(cli: Cli, environment: dict[str, str]) -> None:
    (path,) = Path(environment["XDG_DATA_HOME"]).rglob("*.db")
    with sqlite3.connect(path) as database:
        database.execute("UPDATE proxy_routes SET match_body_schema = '[]' WHERE route_id = 'qwen'")
    row = explain(cli, "POST", "/v1/chat", "--data", '{"model": "qwen3"}')
    assert row["matched"] == "rest"
    assert row["candidates"][-1]["reason"].startswith("the route cannot be used: ")


def test_a_terminal_shows_the_candidates_as_a_table(terminal_cli: TerminalCli) -> None:
    code, screen = terminal_cli("routes", "explain", "GET", "/v1/models", env={"NO_COLOR": "1"})
    assert code == 0
    assert "FAILED ON" in screen
    assert "it is the first that matches" in screen
    assert SECRET not in screen


def test_reads_without_a_database_say_so(cli: Cli) -> None:
    assert cli("routes", "explain", "GET", "/", env={"DATABASE_URL": "sqlite:///nosuch.db"}).returncode == 4


def test_a_rotated_key_is_explained_by_its_id_and_by_each_of_its_secrets(
    cli: Cli, create: Callable[..., dict[str, Any]]
) -> None:
    created = create()
    key_id, old = created["key_id"], created["key"]
    new = cli("keys", "rotate", key_id, "--grace", "0").stdout.strip()
    for key in (key_id, new):
        row = explain(cli, "POST", "/v1/chat", "--key", key)
        assert (row["key_id"], row["matched"]) == (key_id, "rest")
    refused = explain(cli, "POST", "/v1/chat", "--key", old)
    assert (refused["key_id"], refused["refusal"]["status"]) == (key_id, 401)
