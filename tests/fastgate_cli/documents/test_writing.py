"""Documents as text: what stands in them, what does not, and in which order."""

from __future__ import annotations

from typing import Any

from fastgate_cli.documents.plan import State
from fastgate_cli.documents.writing import write_document
from proxy import __version__
from proxy.clock import STORAGE_TIMEZONE
from tests.fastgate_cli.documents.pieces import DIGEST, EXPIRY, faults_of, state

SECRETS = {
    "add_headers": {"X-Key": "sk-hunter2", "X-Ref": "Bearer ${env:TOKEN}"},
    "add_body_fields": {"api_key": "hunter2", "seed": 7},
}


def write(state: State, *sections: str, with_secrets: bool = False) -> str:
    lines = write_document(state, sections or ("keys", "routes"), STORAGE_TIMEZONE, with_secrets=with_secrets)
    return "".join(f"{line}\n" for line in lines)


def body(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith("#")]


def test_it_says_what_it_is_which_version_wrote_it_and_how_it_is_used() -> None:
    text = write(state())
    assert text.startswith(f"# Keys and routes of FastGate, written by version {__version__}.\n")
    assert "fastgate apply -f FILE" in text
    assert body(text) == ["", "keys: []", "", "routes: []"]
    assert "keep it to yourself" in write(state(), with_secrets=True)


def test_what_is_by_default_is_left_out() -> None:
    current = state({"bot": {}, "old": {"expires_at": EXPIRY, "is_active": False}}, {"chat": {}})
    assert body(write(current)) == [
        "",
        "keys:",
        "  - key_id: bot",
        "    source_path: ci",
        "    expires_at: never",
        "",
        "  - key_id: old",
        "    source_path: ci",
        '    expires_at: "2027-01-31T08:00:00+08:00"',
        "    is_active: false",
        "",
        "routes:",
        "  - route_id: chat",
        "    match_path: /v1/*",
        "    target_protocol: http",
        "    target_host: a:1",
    ]


def test_a_literal_secret_is_a_placeholder_with_a_reason_and_a_reference_is_written() -> None:
    text = write(state(routes={"chat": SECRETS}))
    assert "hunter2" not in text
    assert body(text)[-6:] == [
        "    add_headers:",
        "      X-Key: ${keep}  # kept in the database",
        "      X-Ref: Bearer ${env:TOKEN}",
        "    add_body_fields:",
        "      api_key: ${keep}  # kept in the database",
        "      seed: 7",
    ]


def test_secrets_and_digests_are_written_if_they_are_asked_for() -> None:
    current = state({"bot": {}}, {"chat": SECRETS})
    text = write(current, with_secrets=True)
    assert f'value_hash: "{DIGEST}"' in text or f"value_hash: {DIGEST}" in text
    assert "key_hint:" in text
    assert "X-Key: sk-hunter2" in text
    assert "api_key: hunter2" in text
    assert DIGEST not in write(current)


def test_only_the_sections_that_are_asked_for() -> None:
    current = state({"bot": {}}, {"chat": {}})
    assert "routes:" not in write(current, "keys")
    assert "keys:" not in write(current, "routes")


def test_what_is_written_can_be_read() -> None:
    odd: dict[str, Any] = {"description": "no\n1e3: #\n", "route_name": "0o7", "retry_statuses": [429, 500]}
    assert faults_of(write(state({"bot": {}}, {"chat": {**SECRETS, **odd}}))) == []
