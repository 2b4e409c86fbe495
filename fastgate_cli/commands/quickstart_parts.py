"""What `fastgate quickstart` needs, each part made only if it is missing."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from fastgate_cli.commands.init import CONFIGURATION_NAME, write_private
from fastgate_cli.context import Invocation
from fastgate_cli.output import print_note
from proxy.errors import ConflictError, FastGateError, InvalidInputError, NotFoundError

SOURCE = "quickstart"
ROUTE_NAME = "quickstart"
PATTERN = "/v1/*"
KEY_FILE = "quickstart.key"
# A gateway that runs notices a new key within a second.
GATEWAY_WAIT_SECONDS = 3.0
_ANSWER_SECONDS = 2.0
_POLL_SECONDS = 0.1


def read_upstream(text: str) -> str:
    """Return the address of a backend from `--upstream`: without a path, save the `/v1` of a base URL."""
    from proxy.policy.patterns import compile_pattern
    from proxy.policy.targets import parse_target

    url = text.rstrip("/").removesuffix("/v1")
    if parse_target(url, pattern=compile_pattern(PATTERN)).path:
        raise InvalidInputError(f"{text!r} has a path", hint="give the address alone: http://127.0.0.1:11434")
    return url


def ensure_configuration(invocation: Invocation) -> Invocation:
    """Return an invocation that has a configuration file; without any, one is written in this folder."""
    from proxy.settings import example_text

    if invocation.settings.source is not None:
        return invocation
    path = invocation.folder / CONFIGURATION_NAME
    write_private(path, example_text(), replace=False)
    print_note(f"wrote {CONFIGURATION_NAME}")
    return Invocation(path, invocation.environ)


def ensure_key(invocation: Invocation) -> str:
    """Return the secret of the quickstart's key. It is kept beside the database, for its owner alone."""
    from proxy.policy.credentials import digest_secret
    from proxy.settings import database_path
    from proxy.store.keys import create_key, load_keys

    place = database_path(invocation.settings).with_name(KEY_FILE)
    with invocation.writing() as database:
        secret = _read_secret(place)
        usable = {key.digest for key in load_keys(database) if key.is_active and not key.is_previous}
        if secret and digest_secret(secret.encode()) in usable:
            return secret
        prefix = invocation.settings.security.key_prefix
        row, secret = create_key(database, key_prefix=prefix, source=SOURCE, rate_limit=0, now=invocation.now)
    write_private(place, secret + "\n", replace=True)
    print_note(f"created {row['key_id']}; its secret is in {_shorten(place, invocation.folder)}")
    return secret


def ensure_route(invocation: Invocation, upstream_url: str) -> None:
    """Make the quickstart's route lead to a backend; other routes are left alone."""
    from proxy.policy.patterns import compile_pattern
    from proxy.policy.targets import parse_target
    from proxy.store.routes import NewRoute, add_route, delete_routes, get_route

    target = parse_target(upstream_url, pattern=compile_pattern(PATTERN))
    with invocation.writing() as database, database.transaction():
        try:
            row = get_route(database, ROUTE_NAME)
        except NotFoundError:
            pass
        else:
            if _leads_to(row, target):
                return
            delete_routes(database, [ROUTE_NAME])
        route = NewRoute(
            route_name=ROUTE_NAME,
            match_path=PATTERN,
            target_protocol=target.protocol,
            target_host=target.host,
            target_path=target.path,
            description="made by fastgate quickstart",
        )
        add_route(database, route, invocation.now)
    print_note(f"the route {ROUTE_NAME!r} sends {PATTERN} to {upstream_url}")


def find_gateway(url: str) -> bool:
    """Tell whether a FastGate answers at a URL."""
    answer = _fetch_json(f"{url}/health")
    return isinstance(answer, dict) and {"status", "version", "journal_lag_ms"} <= answer.keys()


def wait_for_gateway(gateway_url: str, upstream_url: str, key: str) -> None:
    """Wait until a gateway that ran before us knows the key and leads to the backend.

    Raises `ConflictError` if it goes on refusing the key: then it runs on another database.
    """
    wanted = _fetch_json(f"{upstream_url}/v1/models")
    deadline = time.monotonic() + GATEWAY_WAIT_SECONDS
    while (answer := _fetch_json(f"{gateway_url}/v1/models", key)) != wanted and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    if answer != wanted and _refuses_key(answer):
        raise ConflictError(
            f"the gateway at {gateway_url} runs on another database",
            hint="choose another port with --port, or stop it",
        )


def find_mock(url: str) -> bool:
    """Tell whether the mock answers at a URL."""
    from proxy.mock.openai import MODEL_ID

    return find_model(url) == MODEL_ID


def find_model(url: str) -> str | None:
    """Return the first model that an OpenAI-compatible server lists, or None."""
    answer = _fetch_json(f"{url}/v1/models")
    try:
        return str(answer["data"][0]["id"])
    except (LookupError, TypeError):
        return None


def needs_certificates(*urls: str) -> bool:
    """Tell whether certificates are to be checked; to read them all takes longer than to ask without TLS."""
    return not all(url.startswith("http://") for url in urls)


def _fetch_json(url: str, key: str = "") -> Any:
    import httpx

    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        response = httpx.get(
            url, headers=headers, timeout=_ANSWER_SECONDS, trust_env=False, verify=needs_certificates(url)
        )
        return response.json()
    except (httpx.HTTPError, ValueError):
        return None


def _refuses_key(answer: Any) -> bool:
    # A backend may use the same code; only the gateway's own errors have a request id.
    error = answer.get("error") if isinstance(answer, dict) else None
    return isinstance(error, dict) and error.get("code") == "invalid_api_key" and "request_id" in error


def _shorten(place: Path, folder: Path) -> Path:
    return place.relative_to(folder) if place.is_relative_to(folder) else place


def _leads_to(row: dict[str, Any], target: Any) -> bool:
    found = (
        row["target_protocol"],
        row["target_host"],
        row["target_path"],
        row["is_active"],
        row["match_path"],
    )
    return found == (target.protocol, target.host, target.path, True, PATTERN)


def _read_secret(place: Path) -> str:
    try:
        return place.read_text().strip()
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        raise FastGateError(
            f"{place} cannot be read: {error}", hint="delete it; a new key is then made"
        ) from None
