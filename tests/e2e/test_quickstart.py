"""`quickstart`: everything at once in an empty folder, again in the same, and without the check."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

import httpx
import pytest

from tests.e2e.processes import Fastgate
from tests.ports import reserve_neighbours


@pytest.fixture
def free_ports() -> Iterator[tuple[int, ...]]:
    """Two neighbouring ports that are the test's."""
    with reserve_neighbours(2) as ports:
        yield ports


def test_the_check_passes_in_an_empty_folder_and_again(
    make_fastgate: Callable[[], Fastgate], free_ports: tuple[int, ...]
) -> None:
    fastgate = make_fastgate()
    port = str(free_ports[0])
    for _ in range(2):
        checked = fastgate("quickstart", "--check", "--port", port, "--json")
        rows = json.loads(checked.stdout)
        assert [(row["status_code"], row["is_stream"]) for row in rows] == [(200, False), (200, True)]
        assert "You said" in checked.stderr
    assert (fastgate.folder / "fastgate.yaml").exists()
    assert len(fastgate.json("keys", "list")) == 1
    assert len(fastgate.json("routes", "list")) == 1
    secret = (fastgate.folder / "data" / "quickstart.key").read_text().strip()
    assert secret not in checked.stdout + checked.stderr


def test_the_check_fails_when_the_gateway_answers_otherwise(
    make_fastgate: Callable[[], Fastgate], free_ports: tuple[int, ...]
) -> None:
    fastgate = make_fastgate()
    port = str(free_ports[0])
    fastgate("quickstart", "--check", "--port", port)
    mock = fastgate.start("mock", "--port", "0")
    target = ("--to", f"{mock.url}/echo", "--priority", "1")
    fastgate("routes", "add", "--match", "/v1/*", *target)
    failed = fastgate("quickstart", "--check", "--port", port, code=1)
    assert "differs from the backend" in failed.stderr


def test_it_tells_a_curl_that_works_and_serves_until_it_is_stopped(
    make_fastgate: Callable[[], Fastgate], free_ports: tuple[int, ...]
) -> None:
    fastgate = make_fastgate()
    running = fastgate.start("quickstart", "--port", str(free_ports[0]))
    response = None
    for _ in range(100):
        told = "".join(running.lines)
        if match := re.search(r"Bearer (fg_\w+)'[\s\S]*-d '(\{.*\})'", told):
            headers = {"Authorization": f"Bearer {match[1]}", "Content-Type": "application/json"}
            url = f"http://127.0.0.1:{free_ports[0]}/v1/chat/completions"
            response = httpx.post(url, content=match[2], headers=headers, timeout=20)
            break
        running.process.poll()
        httpx.get(f"http://127.0.0.1:{free_ports[0]}/health")
    assert response is not None, running.lines
    assert response.status_code == 200
    assert response.text.rstrip().endswith("[DONE]")
    assert running.stop() == 0


def test_a_backend_that_is_not_there_is_told(
    make_fastgate: Callable[[], Fastgate], free_ports: tuple[int, ...]
) -> None:
    fastgate = make_fastgate()
    gone = f"http://127.0.0.1:{free_ports[1]}"
    refused = fastgate("quickstart", "--check", "--port", str(free_ports[0]), "--upstream", gone, code=4)
    assert f"error: {gone} lists no models" in refused.stderr
