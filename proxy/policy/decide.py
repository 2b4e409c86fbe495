"""The one decision: what to do with a request. Pure; the proxy and `routes explain` call the same function.

The order is framing, credential, key, route, permission: nobody without a valid key learns which routes
there are. What the client is told never tells an unknown key from a disabled or an expired one; the audit
row does (`reason`).

A body is looked at only if a route or a key has a rule about bodies. Then the first answer may be `NeedBody`,
and the caller asks again with the bytes. Nothing in a body has a say in where a request goes but the choice
among the routes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from proxy.errors import InvalidInputError
from proxy.policy.bodies import Body, BodyUnreadError
from proxy.policy.body_edits import edit_body
from proxy.policy.credentials import digest_secret, find_credentials
from proxy.policy.forwarded import Forwarded
from proxy.policy.framing import find_fault, has_dot_segment
from proxy.policy.headers import build_request_headers
from proxy.policy.model import ApiKey, RequestHead
from proxy.policy.permissions import EVERYTHING, Permissions, is_body_permitted, is_permitted
from proxy.policy.routing import CompiledRoute, RouteTable, Trace

_NO_KEY = "no API key was sent; use the header 'Authorization: Bearer KEY'"
_BAD_KEY = "the API key is not valid"


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """A key of the snapshot with its permissions compiled."""

    key: ApiKey
    permissions: Permissions = EVERYTHING


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything a decision depends on besides the request: immutable, swapped whole, never edited."""

    revision: int = 0
    keys: dict[str, KeyEntry] = field(default_factory=dict)  # by digest
    routes: RouteTable = field(default_factory=RouteTable)

    def count_keys(self) -> int:
        """Return how many keys there are; one that was rotated has two digests."""
        return sum(not entry.key.is_previous for entry in self.keys.values())


class Forward(msgspec.Struct, frozen=True):
    """Send the request on. `target` is the raw path and query; `headers` lack framing.

    `body` None: what the client sends is passed on as it comes; else these bytes are sent instead, and their
    length with them. Target, headers and body may hold secrets, and are in no repr.
    """

    key: ApiKey
    compiled: CompiledRoute
    target: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes | None = None

    def __repr__(self) -> str:
        return f"Forward({self.key.key_id} to {self.compiled.route.route_id})"

    @property
    def target_url(self) -> str:
        """Return the URL that is asked for, as the audit row holds it."""
        return self.compiled.origin + self.target.decode("latin-1")


class Refuse(msgspec.Struct, frozen=True):
    """Answer it ourselves. `reason` is for the audit row; `code` and `message` are for the client."""

    status: int
    code: str
    message: str
    reason: str
    key: ApiKey | None = None


class NeedBody(msgspec.Struct, frozen=True):
    """Read the whole body, then decide again with it. Never the answer to a decision that had the body."""

    key: ApiKey


Decision = Forward | Refuse | NeedBody


def decide(
    head: RequestHead,
    snapshot: Snapshot,
    now_us: int,
    request_id: str,
    body: bytes | None = None,
    trace: Trace | None = None,
    forwarded: Forwarded | None = None,
) -> Decision:
    """Decide on a request from its head, the snapshot and the time in microseconds since the epoch.

    `body` None means that it has not been read yet. `trace` gets the routes that were tried. `forwarded` is
    what a trusted proxy in front of the gateway said of the request; it only goes into the headers.
    """
    if fault := find_fault(head):
        return Refuse(400, "bad_request", fault[1], reason=fault[0])
    entry = _find_key(head, snapshot, now_us)
    if isinstance(entry, Refuse):
        return entry
    try:
        return _decide_for_key(head, entry, snapshot.routes, request_id, Body(head, body), trace, forwarded)
    except BodyUnreadError:
        return NeedBody(entry.key)


def _decide_for_key(
    head: RequestHead,
    entry: KeyEntry,
    routes: RouteTable,
    request_id: str,
    body: Body,
    trace: Trace | None,
    forwarded: Forwarded | None,
) -> Decision:
    found = routes.find(head, body, trace)
    if found is None and body.fault:
        return _refuse_body(body.fault, entry.key)
    if found is None:
        return Refuse(404, "no_route", "no route matches this request", reason="no_route", key=entry.key)
    compiled, match = found
    if not is_permitted(entry.permissions, head, compiled.route):
        message = "the API key does not permit this request"
        return Refuse(403, "permission_denied", message, reason="permission_denied", key=entry.key)
    path = compiled.build_path(head.path, match)
    # A whole segment `..` cannot come in, but a pattern such as /u-{id} can cut one out of `u-..`.
    if path is not head.path and has_dot_segment(path):
        message = "the path would not be in its plain form"
        return Refuse(400, "bad_request", message, reason="bad_path", key=entry.key)
    try:
        if not is_body_permitted(entry.permissions, body):
            message = "the API key does not permit this model"
            return Refuse(403, "permission_denied", message, reason="permission_denied", key=entry.key)
        sent = edit_body(body, compiled.body_fields) if compiled.body_fields else body.raw
    except InvalidInputError as fault:
        return _refuse_body(fault, entry.key)
    return Forward(
        key=entry.key,
        compiled=compiled,
        target=path + b"?" + head.query if head.query or head.is_query_empty else path,
        headers=build_request_headers(head, compiled.header_rules, request_id, forwarded),
        body=sent,
    )


def _refuse_body(fault: InvalidInputError, key: ApiKey) -> Refuse:
    message = f"the request body cannot be used: {fault.message}"
    return Refuse(400, "bad_request", message, reason="bad_body", key=key)


def _find_key(head: RequestHead, snapshot: Snapshot, now_us: int) -> KeyEntry | Refuse:
    secrets = find_credentials(head.headers)
    if not secrets:
        return Refuse(401, "missing_api_key", _NO_KEY, reason="missing_api_key")
    if len(secrets) > 1:
        return Refuse(401, "invalid_api_key", _BAD_KEY, reason="two_api_keys")
    entry = snapshot.keys.get(digest_secret(secrets.pop()))
    if entry is None:
        return Refuse(401, "invalid_api_key", _BAD_KEY, reason="unknown_api_key")
    key = entry.key
    if not key.is_active:
        return Refuse(401, "invalid_api_key", _BAD_KEY, reason="disabled_api_key", key=key)
    if key.expires_at_us is not None and key.expires_at_us <= now_us:
        return Refuse(401, "invalid_api_key", _BAD_KEY, reason="expired_api_key", key=key)
    return entry
