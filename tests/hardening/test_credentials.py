"""Rows 16, 17 and 21: keys that are wrong in every way, keys that were right a second ago."""

from __future__ import annotations

import json

import pytest

from tests.hardening.client import Response
from tests.hardening.gate import Gate
from tests.hardening.measures import resident_bytes

pytestmark = pytest.mark.usefixtures("serving")
UPLOAD_BYTES = 50 * 1024 * 1024
GROWTH_BYTES_MAX = 16 * 1024 * 1024
ANSWERS_ALIKE = 20  # connections that are tried: whichever worker takes one, it answers the same


@pytest.fixture(scope="module")
def settings() -> str:
    return "app: {workers: 2}\nproxy: {max_body_size: 64MB}"


def ask_with(gate: Gate, path: str, *lines: str) -> Response:
    request = "\r\n".join((f"GET {path} HTTP/1.1", "host: gate.test", *lines, "", ""))
    return gate.ask(request.encode("latin-1"))


def body_but_for_id(response: Response) -> dict[str, object]:
    error = response.error
    assert error.pop("request_id") == response.request_id
    return error


def make_key(gate: Gate, *options: str) -> tuple[str, str]:
    """Return a new key and its id, once every worker lets it in."""
    made = gate.fastgate.json("keys", "create", "--rate-limit", "0", *options)
    gate.wait_for_revision()
    gate.secrets.append(made["key"])
    return made["key"], made["key_id"]


def statuses(gate: Gate, key: str) -> set[int]:
    """Return the statuses that a key gets on many connections."""
    return {ask_with(gate, "/t/key", f"x-api-key: {key}").status for _ in range(ANSWERS_ALIKE)}


WRONG = {
    "unknown": "fg_QKokZZOyvOFAYSmjksKF4RO23p40vd0tmQVX",
    "wrong case": "KEY.SWAPCASE",
    "cut": "KEY.CUT",
    "longer": "KEY.LONGER",
    "spaces within": "KEY.SPACED",
    "10 KiB": "fg_" + "x" * 10 * 1024,
    "outside ASCII": "fg_\xe4\xf6\xfc\xff",
    "SQL": "fg_' OR '1'='1'; DROP TABLE api_keys; --",
    "a format": "fg_%s{0}${env:HOME}",
    "a digest": "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "markup": "<script>alert(1)</script>",
}


def spoil(name: str, key: str) -> str:
    """Return a wrong key, most of them made from the right one."""
    half = len(key) // 2
    made = {
        "KEY.SWAPCASE": key.swapcase(),
        "KEY.CUT": key[:-1],
        "KEY.LONGER": f"{key}x",
        "KEY.SPACED": f"{key[:half]} {key[half:]}",
    }
    return made.get(WRONG[name], WRONG[name])


@pytest.mark.parametrize("header", ["authorization: Bearer ", "x-api-key: ", "api-key: ", "x-goog-api-key: "])
@pytest.mark.parametrize("name", WRONG, ids=lambda name: f"row 16: {name}")
def test_a_wrong_key_gets_the_same_401_and_is_kept_nowhere(gate: Gate, header: str, name: str) -> None:
    key = spoil(name, gate.key)
    path = gate.new_path()
    response = ask_with(gate, path, header + key)
    usual = ask_with(gate, path, "authorization: Bearer fg_nobody")
    assert response.status == usual.status == 401
    assert response.code == "invalid_api_key"
    assert body_but_for_id(response) == body_but_for_id(usual)
    assert [name for name, _ in response.headers] == [name for name, _ in usual.headers]
    assert key.encode("latin-1") not in response.body
    assert gate.row(response)["error_message"] == "unknown_api_key"
    assert gate.backend.seen(path) == []
    gate.check_is_secret(key)


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(("authorization: Bearer KEY", "x-api-key: SECOND"), id="row 16: in two headers"),
        pytest.param(("x-api-key: KEY", "x-api-key: SECOND"), id="row 16: in one header twice"),
        pytest.param(("x-api-key: other", "api-key: KEY", "x-api-key: SECOND"), id="row 16: beside another"),
    ],
)
def test_two_different_keys_are_refused(gate: Gate, lines: tuple[str, ...]) -> None:
    second, _ = make_key(gate)
    path = gate.new_path()
    response = ask_with(
        gate, path, *[line.replace("KEY", gate.key).replace("SECOND", second) for line in lines]
    )
    assert (response.status, response.code) == (401, "invalid_api_key")
    assert gate.row(response)["error_message"] == "two_api_keys"
    assert gate.row(response)["api_key"] is None
    assert gate.backend.seen(path) == []


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(("authorization: Bearer KEY", "x-api-key: EMPTY"), id="row 16: right and wrong"),
        pytest.param(("authorization: Bearer EMPTY", "x-goog-api-key: KEY"), id="row 16: wrong and right"),
        pytest.param(("authorization: Bearer KEY", "authorization: Bearer EMPTY"), id="row 16: two bearers"),
    ],
)
def test_what_is_no_key_of_the_gateways_is_no_credential_to_it(gate: Gate, lines: tuple[str, ...]) -> None:
    path = gate.new_path()
    assert ask_with(gate, path, *[line.replace("KEY", gate.key) for line in lines]).status == 200
    names = {name for name, _ in gate.seen_of(path).headers}
    assert not {b"x-api-key", b"x-goog-api-key", b"authorization"} & names


@pytest.mark.parametrize(
    ("query", "line"),
    [
        pytest.param("?key=KEY", "accept: */*", id="the parameter of Google's clients"),
        pytest.param("?key=KEY&a=%2F", "x-goog-api-key: KEY", id="twice"),
        pytest.param("?api_key=KEY", "api-key: KEY", id="another parameter"),
        pytest.param(
            "",
            "x-api-key: KEY\r\ncookie: a=1; k=KEY\r\nx-token: KEY\r\nreferer: http://a/?key=KEY",
            id="headers",
        ),
    ],
)
def test_a_key_reaches_no_backend_wherever_it_stands(gate: Gate, query: str, line: str) -> None:
    """Row 16."""
    path = gate.new_path()
    response = ask_with(gate, path + query.replace("KEY", gate.key), line.replace("KEY", gate.key))
    assert response.status == 200
    seen = gate.seen_of(path)
    assert gate.key.encode() not in seen.target + b"".join(value for _, value in seen.headers)
    assert gate.key not in json.dumps(gate.row(response))


def test_the_same_key_three_times_is_one_credential_and_stays_here(gate: Gate) -> None:
    """Row 16."""
    path = gate.new_path()
    lines = (f"x-api-key: {gate.key}", f"authorization: bEARER {gate.key}", f"api-key: {gate.key}")
    assert ask_with(gate, path, *lines).status == 200
    names = {name for name, _ in gate.seen_of(path).headers}
    assert not {b"x-api-key", b"api-key", b"authorization"} & names


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param((), id="row 16: none"),
        pytest.param(("authorization: Bearer ",), id="row 16: an empty bearer"),
        pytest.param(("x-api-key:",), id="row 16: an empty header"),
        pytest.param(("authorization: Basic dXNlcjpwYXNz",), id="row 16: another scheme"),
        pytest.param(("cookie: x-api-key=KEY",), id="row 16: in a cookie"),
    ],
)
def test_a_request_without_a_key_is_told_so(gate: Gate, lines: tuple[str, ...]) -> None:
    path = gate.new_path()
    response = ask_with(gate, path, *[line.replace("KEY", gate.key) for line in lines])
    assert (response.status, response.code) == (401, "missing_api_key")
    assert gate.row(response)["error_message"] == "missing_api_key"
    assert gate.backend.seen(path) == []


def test_a_key_in_another_parameter_is_no_credential_and_is_masked(gate: Gate) -> None:
    """Row 16."""
    path = gate.new_path()
    response = ask_with(gate, f"{path}?api_key={gate.key}")
    assert response.status == 401
    assert gate.key not in json.dumps(gate.row(response))


@pytest.mark.parametrize("change", ["disable", "delete"])
def test_a_revoked_key_is_refused_by_every_worker(gate: Gate, change: str) -> None:
    """Row 17."""
    key, key_id = make_key(gate)
    assert statuses(gate, key) == {200}
    gate.fastgate("keys", change, key_id, *(("-y",) if change == "delete" else ()))
    gate.wait_for_revision()
    assert statuses(gate, key) == {401}
    path = gate.new_path()
    response = ask_with(gate, path, f"x-api-key: {key}")
    assert response.code == "invalid_api_key"
    reason = {"disable": "disabled_api_key", "delete": "unknown_api_key"}[change]
    assert gate.row(response)["error_message"] == reason
    assert gate.backend.seen(path) == []


def test_an_expired_key_is_refused_like_an_unknown_one(gate: Gate) -> None:
    """Row 17."""
    key, key_id = make_key(gate)
    past = "2020-01-01T00:00:00.000000+08:00"
    gate.write("UPDATE api_keys SET expires_at = ? WHERE key_id = ?", past, key_id)
    assert statuses(gate, key) == {401}
    response = ask_with(gate, gate.new_path(), f"x-api-key: {key}")
    unknown = ask_with(gate, gate.new_path(), "x-api-key: fg_nobody")
    assert body_but_for_id(response) == body_but_for_id(unknown)
    row = gate.row(response)
    assert (row["error_message"], row["api_key"]) == ("expired_api_key", key_id)


def test_a_key_without_permission_is_refused_and_named_in_the_row(gate: Gate) -> None:
    """Row 17."""
    key, key_id = make_key(gate, "--permission", "/t/key", "--permission", "POST /t/write/*")
    for method, path in (("GET", gate.new_path()), ("GET", "/t/write/a"), ("POST", "/t/keys")):
        before = len(gate.backend.arrivals)
        request = f"{method} {path} HTTP/1.1\r\nhost: a\r\nx-api-key: {key}\r\ncontent-length: 0\r\n\r\n"
        response = gate.ask(request.encode())
        assert (response.status, response.code) == (403, "permission_denied")
        row = gate.row(response)
        assert (row["error_message"], row["api_key"]) == ("permission_denied", key_id)
        assert len(gate.backend.arrivals) == before


@pytest.mark.parametrize("framing", ["content-length", "chunked"])
def test_a_long_upload_with_a_bad_key_reads_its_401(gate: Gate, framing: str) -> None:
    """Row 21: sent to its end before the answer is read, as simple clients do."""
    before = most = resident_bytes(gate.pid)
    path, piece = gate.new_path(), b"u" * 1024 * 1024
    client = gate.connect()
    line = f"content-length: {UPLOAD_BYTES}" if framing == "content-length" else "transfer-encoding: chunked"
    client.send(gate.head(path, line, method="POST", key="fg_nobody"))
    for _ in range(UPLOAD_BYTES // len(piece)):
        client.send(piece if framing == "content-length" else b"%x\r\n%b\r\n" % (len(piece), piece))
        most = max(most, resident_bytes(gate.pid))
    response = client.read_response(b"POST")
    assert (response.status, response.code) == (401, "invalid_api_key")
    assert client.is_closed()
    assert gate.row(response)["error_message"] == "unknown_api_key"
    assert gate.backend.seen(path) == []
    assert most - before < GROWTH_BYTES_MAX
