"""A key is rotated in use: no client is cut off, the old secret ends, and neither leaves a trace."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest

from tests.e2e.processes import Fastgate, Running

WAIT_SECONDS = 20
CONFIGURATION = """
app: {port: 0}
logging: {level: DEBUG}
database: {url: "sqlite:///data/fastgate.db"}
audit: {directory: data/journal, include_headers: true, include_body: true}
"""


class Client:
    """A gateway with a key that is in use; every secret that it ever had is remembered."""

    def __init__(self, fastgate: Fastgate) -> None:
        self.fastgate = fastgate
        (fastgate.folder / "fastgate.yaml").write_text(CONFIGURATION)
        mock = fastgate.start("mock", "--port", "0")
        fastgate("routes", "add", "--match", "/v1/*", "--to", mock.url)
        created = fastgate.json("keys", "create", "--source", "team")
        self.key_id = created["key_id"]
        self.secrets = [created["key"]]
        self.gateway: Running = fastgate.start("serve")
        self.printed = ""

    def ask(self, secret: str) -> int:
        """Return the status of a request that has the secret in a header."""
        headers = {"authorization": f"Bearer {secret}", "user-agent": "rotation-test"}
        return httpx.get(f"{self.gateway.url}/v1/models", headers=headers, timeout=WAIT_SECONDS).status_code

    def rotate(self, *options: str) -> str:
        """Return the new secret, which a pipe gets alone."""
        done = self.fastgate("keys", "rotate", self.key_id, *options)
        self.printed += done.stderr
        secret: str = done.stdout.removesuffix("\n")
        self.secrets.append(secret)
        return secret

    def show(self) -> dict[str, Any]:
        """Return the key as `keys show` has it."""
        done = self.fastgate.json("keys", "show", self.key_id)
        self.printed += str(done)
        row: dict[str, Any] = done
        return row

    def read_files(self) -> dict[str, bytes]:
        """Return every file of the folder, by its path."""
        files = {}
        for path in self.fastgate.folder.rglob("*"):
            with suppress(FileNotFoundError):  # a segment that has just been recorded
                if path.is_file():
                    files[str(path.relative_to(self.fastgate.folder))] = path.read_bytes()
        return files

    def await_status(self, secret: str, status: int) -> None:
        """Ask until the answer has that status: the gateway learns of a change within a second."""
        self.await_that(lambda: self.ask(secret) == status)

    @staticmethod
    def await_that(is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while not is_so():
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.fixture
def client(make_fastgate: Callable[[], Fastgate]) -> Iterator[Client]:
    client = Client(make_fastgate())
    yield client
    client.gateway.stop()


def test_both_secrets_work_during_the_grace_and_who_uses_the_old_one_is_known(client: Client) -> None:
    [old] = client.secrets
    assert client.ask(old) == 200
    new = client.rotate("--grace", "1h")
    client.await_status(new, 200)
    assert client.ask(old) == 200
    client.await_that(lambda: client.show()["previous_last_used_at"] is not None)
    row = client.show()
    assert row["previous_last_used_ip"] == "127.0.0.1"
    assert row["rotated_at"] < row["previous_last_used_at"] < row["previous_expires_at"]
    # Both secrets are the same key: its uses add up, its rows are its own.
    client.await_that(lambda: client.show()["usage_count"] >= 3)
    rows = client.fastgate.json("logs", "list", "--key", client.key_id)
    assert {row["source_path"] for row in rows} == {"team"}


def test_without_a_grace_the_old_secret_is_refused_and_whoever_still_tries_it_is_known(
    client: Client,
) -> None:
    [old] = client.secrets
    new = client.rotate("--grace", "0")
    client.await_status(old, 401)
    assert client.ask(new) == 200
    client.await_that(lambda: client.show()["previous_last_used_at"] is not None)
    refused = client.fastgate.json("logs", "list", "--key", client.key_id, "--status", "401")
    assert refused[0]["error_message"] == "expired_api_key"
    # A client that is refused is told no more than one with an unknown key.
    answers = [
        httpx.get(f"{client.gateway.url}/v1/models", headers={"x-api-key": secret}).json()["error"]
        for secret in (old, "fg_unknown")
    ]
    assert len({(answer["code"], answer["message"]) for answer in answers}) == 1


def test_the_end_of_the_grace_needs_no_command(client: Client) -> None:
    [old] = client.secrets
    new = client.rotate("--grace", "3s")
    client.await_status(new, 200)
    client.await_status(old, 401)
    assert client.ask(new) == 200


def test_a_rotation_within_the_grace_ends_the_oldest_secret(client: Client) -> None:
    [oldest] = client.secrets
    old, new = client.rotate(), client.rotate()
    client.await_status(new, 200)
    assert (client.ask(old), client.ask(oldest)) == (200, 401)
    assert "still works, and ends with this" in client.printed


def test_no_secret_is_in_the_database_the_journal_the_log_or_what_is_printed(client: Client) -> None:
    client.rotate("--grace", "1h")
    client.await_status(client.secrets[-1], 200)
    client.rotate("--grace", "0")
    client.await_status(client.secrets[-1], 200)
    for secret in client.secrets:
        client.ask(secret)
    client.await_that(lambda: client.show()["previous_last_used_at"] is not None)
    client.printed += client.fastgate("keys", "list", "-o", "wide").stdout
    client.printed += client.fastgate("keys", "rotate", client.key_id, "-n", "--json").stdout
    # The journal's segments are gone once their rows are there: look before and after.
    files = client.read_files()
    assert client.gateway.stop() == 0
    texts = [*files.values(), *client.read_files().values()]
    assert {"fastgate.db", "journal"} <= {part for name in files for part in name.split("/")}
    assert b"rotation-test" in b"".join(texts)
    texts += [client.printed.encode(), "".join(client.gateway.lines).encode()]
    for secret in client.secrets:
        assert not any(secret.encode() in text for text in texts)
