"""Row 58: heads that the gateway knows again, and what has changed between two that are equal.

Each request comes three times before anything changes: decided on, remembered, recognised.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from tests.hardening.client import RawClient
from tests.hardening.gate import Gate, wait_for

pytestmark = pytest.mark.usefixtures("serving")
TIMES, BODY = 3, b'{"model":"a"}'
_numbers = count()


@pytest.fixture(scope="module")
def settings() -> str:
    return "app: {workers: 1}"


@pytest.fixture
def key(gate: Gate) -> tuple[str, str]:
    """Return a new key and its id."""
    made = gate.fastgate.json("keys", "create", "--rate-limit", "0")
    gate.wait_for_revision()
    gate.secrets.append(made["key"])
    return made["key"], made["key_id"]


@pytest.fixture
def route(gate: Gate) -> tuple[str, str]:
    """Return the path of a new route, of which the backend gets all, and the route's id."""
    path = f"/r{next(_numbers)}"
    made = gate.fastgate.json("routes", "add", "--match", path, "--to", gate.backend.url)
    gate.wait_for_revision()
    return path, made["route_id"]


class Client:
    """A client that sends the same head again and again, on one connection while that lasts."""

    def __init__(self, gate: Gate, path: str, key: str, *lines: str) -> None:
        head = gate.head(path, *lines, "content-length: LENGTH", method="POST", key=key)
        self._head = head
        self._gate = gate
        self._wire: RawClient = gate.connect()

    def ask(self, body: bytes = BODY) -> tuple[int, dict[str, Any]]:
        """Return the status of the answer, and the row."""
        response = self._wire.ask(self._head.replace(b"LENGTH", b"%d" % len(body)) + body)
        return response.status, self._gate.row(response)

    def become_known(self) -> None:
        """Have the head decided on, remembered, and recognised."""
        assert [self.ask()[0] for _ in range(TIMES)] == [200] * TIMES


def test_a_head_is_recognised_when_it_comes_again_and_is_counted_so(gate: Gate) -> None:
    name = "fastgate_heads_recognised_total"
    before = gate.metric(name)
    Client(gate, gate.new_path(), gate.key).become_known()
    wait_for(lambda: gate.metric(name), lambda seen: seen > before)


CHANGES: dict[str, tuple[Callable[[str, str], tuple[str, ...]], int, str]] = {
    "disabled": (lambda key, _: ("keys", "disable", key), 401, "disabled_api_key"),
    "deleted": (lambda key, _: ("keys", "delete", key, "-y"), 401, "unknown_api_key"),
    "narrowed": (
        lambda key, _: ("keys", "update", key, "--permission", "/elsewhere"),
        403,
        "permission_denied",
    ),
    "for other models": (
        lambda key, _: ("keys", "update", key, "--permission", "model:b"),
        403,
        "permission_denied",
    ),
    "limited": (lambda key, _: ("keys", "update", key, "--rate-limit", "1", "--burst", "1"), 200, ""),
    "route disabled": (lambda _, route: ("routes", "disable", route), 404, "no_route"),
    "route deleted": (lambda _, route: ("routes", "delete", route, "-y"), 404, "no_route"),
    "route for another method": (
        lambda _, route: ("routes", "update", route, "--method", "PUT"),
        404,
        "no_route",
    ),
    "route for another body": (
        lambda _, route: ("routes", "update", route, "--body", "model=b"),
        404,
        "no_route",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_has_changed_holds_for_the_next_equal_head(
    gate: Gate, key: tuple[str, str], route: tuple[str, str], change: str
) -> None:
    client = Client(gate, route[0], key[0])
    client.become_known()
    command, status, reason = CHANGES[change]
    gate.fastgate(*command(key[1], route[1]))
    gate.wait_for_revision()
    found = client.ask()
    assert (found[0], found[1]["error_message"] or "") == (status, reason)
    if change == "limited":
        assert client.ask()[0] == 429


def test_a_key_that_expires_is_refused_from_then_on(gate: Gate, key: tuple[str, str]) -> None:
    """Nothing is written into the database meanwhile."""
    client = Client(gate, gate.new_path(), key[0])
    expires = datetime.now(UTC) + timedelta(seconds=2)
    gate.write("UPDATE api_keys SET expires_at = ? WHERE key_id = ?", expires.isoformat(), key[1])
    client.become_known()
    status, row = wait_for(client.ask, lambda answer: answer[0] != 200)
    assert (status, row["error_message"], row["api_key"]) == (401, "expired_api_key", key[1])


def test_a_rotated_secret_and_another_target_are_used_at_once(gate: Gate, route: tuple[str, str]) -> None:
    gate.fastgate("routes", "update", route[1], "--set-header", "X-Token: first-secret-value")
    gate.wait_for_revision()
    client = Client(gate, route[0], gate.key)
    client.become_known()
    gate.fastgate("routes", "update", route[1], "--set-header", "X-Token: second-secret-value")
    gate.wait_for_revision()
    assert client.ask()[0] == 200
    tokens = [arrival.values(b"x-token")[0] for arrival in gate.backend.wait_for(route[0], count=TIMES + 1)]
    assert tokens == [b"first-secret-value"] * TIMES + [b"second-secret-value"]


def test_a_head_that_names_a_secret_is_masked_as_soon_as_there_is_one(
    gate: Gate, route: tuple[str, str]
) -> None:
    secret = "a-secret-that-is-set-later"
    client = Client(gate, route[0], gate.key, f"x-note: {secret}")
    client.become_known()
    gate.fastgate("routes", "update", route[1], "--set-header", f"X-Api-Key: {secret}")
    gate.wait_for_revision()
    _, row = client.ask()
    assert secret not in row["request_headers"]


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        (b"gate.test", b"gate.tesu", 200),
        (b"content-length: 13", b"content-length: +13", 400),
        (b"content-length: 13", b"content-length: -13", 400),
        (b"content-length: 13", b"content-length: 13\r\ncontent-length: 12", 400),
        (b"content-length: 13", b"content-length: 13\r\ntransfer-encoding: chunked", 400),
        (b"Bearer ", b"Bearer x", 401),
        (b"POST /t/", b"POST /T/", 404),
        (b"host: gate.test", b"host: gate.test\r\nhost: gate.test", 400),
        (b"HTTP/1.1", b"HTTP/1.2", 400),
    ],
)
def test_a_head_that_differs_a_little_is_a_stranger(gate: Gate, old: bytes, new: bytes, status: int) -> None:
    path = gate.new_path()
    request = gate.head(path, "content-length: 13", method="POST") + BODY
    for _ in range(TIMES):
        assert gate.ask(request).status == 200
    before = len(gate.backend.arrivals)
    assert gate.ask(request.replace(old, new, 1)).status == status
    assert len(gate.backend.arrivals) - before == (status == 200)


def test_every_request_is_counted_limited_and_recorded_by_itself(gate: Gate) -> None:
    made = gate.fastgate.json("keys", "create", "--rate-limit", "5", "--burst", "5")
    gate.wait_for_revision()
    gate.secrets.append(made["key"])
    path = gate.new_path()
    client = Client(gate, path, made["key"])
    answers = [client.ask(b"x" * (number + 1)) for number in range(6)]
    assert [status for status, _ in answers] == [200] * 5 + [429]
    rows = [row for _, row in answers]
    assert len({row["request_id"] for row in rows}) == 6
    assert [row["request_size"] for row in rows[:5]] == [1, 2, 3, 4, 5]
    for number, arrival in enumerate(gate.backend.wait_for(path, count=5)):
        assert arrival.values(b"content-length") == [b"%d" % (number + 1)]
        assert arrival.request_id == rows[number]["request_id"]
