"""The one decision: what to do with a request. Pure; the proxy and `routes explain` call the same function.

The order is framing, credential, key, route, permission: nobody without a valid key learns which routes
there are. What the client is told never tells an unknown key from a disabled or an expired one; the audit
row does (`reason`).

A body is looked at only if a route or a key has a rule about bodies. Then the first answer may be `NeedBody`,
and the caller asks again with the bytes. Nothing in a body has a say in where a request goes but the choice
among the routes.

One fault of a path depends on its route: `%2F`, which some take. It is looked for once the route is found.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from proxy.errors import InvalidInputError
from proxy.policy.bodies import CONTENT_BYTES_MAX, Body, BodyUnreadError, find_encodings
from proxy.policy.body_edits import edit_body
from proxy.policy.content_encodings import BodyTooLargeError
from proxy.policy.credentials import (
    digest_secret,
    find_credentials,
    has_key_form,
    is_in_path,
    remove_from_query,
)
from proxy.policy.forwarded import Forwarded
from proxy.policy.framing import find_encoded_slash, find_fault, has_dot_segment, has_empty_segment
from proxy.policy.headers import build_request_headers
from proxy.policy.max_forwards import count_down, is_used_up
from proxy.policy.model import METHODS, ApiKey, RequestHead
from proxy.policy.model_lists import LIST_DROPPED, is_list_request
from proxy.policy.permissions import EVERYTHING, Permissions, find_model_fault, is_permitted
from proxy.policy.routing import CompiledRoute, RouteTable, Trace

_NO_KEY = "no API key was sent; use the header 'Authorization: Bearer KEY'"
_BAD_KEY = "the API key is not valid"
_NO_BEARER = "the Authorization header lacks the word 'Bearer'; write 'Authorization: Bearer KEY'"
_NO_CORS = "no API key was sent; to answer a browser's preflight requests, set cors.enabled to true"
_KEY_IN_PATH = "the path holds the API key; send it in the header 'Authorization: Bearer KEY' alone"


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """A key of the snapshot with its permissions compiled."""

    key: ApiKey
    permissions: Permissions = EVERYTHING


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything a decision depends on besides the request: immutable, swapped whole, never edited.

    `content_bytes_max` is `proxy.inspect_body_size`: what a compressed body may be decoded to for a rule.
    """

    revision: int = 0
    keys: dict[str, KeyEntry] = field(default_factory=dict)  # by digest
    routes: RouteTable = field(default_factory=RouteTable)
    has_cors: bool = False  # whether the gateway answers preflights, before anything is decided
    content_bytes_max: int = CONTENT_BYTES_MAX

    def count_keys(self) -> int:
        """Return how many keys there are; one that was rotated has two digests."""
        return sum(not entry.key.is_previous for entry in self.keys.values())


class Forward(msgspec.Struct, frozen=True):
    """Send the request on. `target` is the raw path and query; `headers` lack framing.

    `body` None: what the client sends is passed on as it comes; else these bytes are sent instead, and their
    length with them. `drops_encoding`: they are not compressed, as the client's were; `headers` do not say so
    any more. `narrows`: the answer may be a list of models, of which `narrow_models` leaves those that the
    key may use; `headers` ask for it whole, and in no content encoding.

    Target, headers and body may hold secrets, and are in no repr.
    """

    key: ApiKey
    compiled: CompiledRoute
    target: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes | None = None
    drops_encoding: bool = False
    narrows: Permissions | None = None

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


class Answer(msgspec.Struct, frozen=True):
    """Answer it ourselves, with no body and no fault: `OPTIONS` that is to be forwarded no further."""

    status: int
    headers: list[tuple[bytes, bytes]]
    key: ApiKey


class NeedBody(msgspec.Struct, frozen=True):
    """Read the whole body, then decide again with it. Never the answer to a decision that had the body."""

    key: ApiKey


Decision = Forward | Refuse | NeedBody | Answer
_ALLOWED = ", ".join(sorted(METHODS)).encode()


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
    if fault := find_fault(head, encoded_slash=snapshot.routes.takes_encoded_slash):
        return Refuse(400, "bad_request", fault[1], reason=fault[0])
    found = _find_key(head, snapshot, now_us)
    if isinstance(found, Refuse):
        return found
    entry, secret = found
    if head.method == "OPTIONS" and is_used_up(head.headers):
        return Answer(204, [(b"allow", _ALLOWED)], entry.key)
    view = Body(head, body, snapshot.content_bytes_max)
    try:
        return _decide_for_key(head, entry, secret, snapshot.routes, request_id, view, trace, forwarded)
    except BodyUnreadError:
        return NeedBody(entry.key)


def _decide_for_key(
    head: RequestHead,
    entry: KeyEntry,
    secret: bytes,
    routes: RouteTable,
    request_id: str,
    body: Body,
    trace: Trace | None,
    forwarded: Forwarded | None,
) -> Decision:
    found = routes.find(head, body, trace)
    takes_slash = not routes.takes_encoded_slash or (found and found[0].route.encoded_slash)
    # A route that does not take it is not passed over for one that does: `%2F` never leads to another route.
    if not takes_slash and (fault := find_encoded_slash(head.path)):
        return Refuse(400, "bad_request", fault[1], reason=fault[0], key=entry.key)
    if found is None and body.fault:
        return _refuse_body(body.fault, entry.key)
    if found is None:
        return Refuse(404, "no_route", "no route matches this request", reason="no_route", key=entry.key)
    compiled, match = found
    if not is_permitted(entry.permissions, head, compiled.route):
        return _refuse_permission("the API key does not permit this request", entry.key)
    path = compiled.build_path(head.path, match)
    if path is not head.path and (doubt := _find_doubt(path, compiled)):
        return Refuse(400, "bad_request", doubt, reason="bad_path", key=entry.key)
    try:
        if refusal := find_model_fault(entry.permissions, body):
            return _refuse_permission(refusal, entry.key)
        sent = edit_body(body, compiled.body_fields) if compiled.body_fields else body.raw
    except InvalidInputError as error:
        return _refuse_body(error, entry.key)
    headers = build_request_headers(head, compiled.header_rules, request_id, forwarded, secret)
    drops_encoding = sent is not body.raw and bool(find_encodings(head))
    if drops_encoding:
        headers = [pair for pair in headers if pair[0] != b"content-encoding"]
    if head.method == "OPTIONS":
        headers = count_down(headers)
    narrows = None
    if entry.permissions.models and is_list_request(head.method, path):
        narrows = entry.permissions
        headers = [pair for pair in headers if pair[0] not in LIST_DROPPED]
        headers.append((b"accept-encoding", b"identity"))
    return Forward(
        key=entry.key,
        compiled=compiled,
        target=_build_target(path, head, secret),
        headers=headers,
        body=sent,
        drops_encoding=drops_encoding,
        narrows=narrows,
    )


def _build_target(path: bytes, head: RequestHead, secret: bytes) -> bytes:
    """Return path and query as they are sent: the query as it came, but for the key in it."""
    if not head.query:
        return path + b"?" if head.is_query_empty else path
    query = remove_from_query(head.query, secret)
    return path + b"?" + query if query else path


def _find_doubt(path: bytes, compiled: CompiledRoute) -> str | None:
    """Return what is wrong with a path that a route has built, or None.

    A whole segment `..` cannot come in, but a pattern such as /u-{id} can cut one out of `u-..`; and /a** to
    /{rest} makes //evil of /a/evil, which is another host to who takes it for the beginning of a URL.
    """
    if has_dot_segment(path):
        return "the path would be sent with a segment '.' or '..'"
    if has_empty_segment(path) and "//" not in compiled.route.target_path:
        return "the path would be sent with an empty segment"
    return None


def _refuse_permission(message: str, key: ApiKey) -> Refuse:
    return Refuse(403, "permission_denied", message, reason="permission_denied", key=key)


def _refuse_body(fault: InvalidInputError, key: ApiKey) -> Refuse:
    if isinstance(fault, BodyTooLargeError):
        return Refuse(413, "body_too_large", fault.message, reason="body_too_large", key=key)
    message = f"the request body cannot be used: {fault.message}"
    return Refuse(400, "bad_request", message, reason="bad_body", key=key)


def _find_key(head: RequestHead, snapshot: Snapshot, now_us: int) -> tuple[KeyEntry, bytes] | Refuse:
    """Return the one key of the gateway's that a request presents, and its secret.

    What else it presents is meant for the backend, or for nobody.
    """
    presented = find_credentials(head.headers, head.query)
    entry, secret, known = None, b"", 0
    for candidate in presented:
        if (found := snapshot.keys.get(digest_secret(candidate))) is not None:
            entry, secret, known = found, candidate, known + 1
    if entry is None or known > 1:
        return _refuse_credentials(head, presented, known, snapshot)
    if not presented[secret]:
        return Refuse(401, "missing_api_key", _NO_BEARER, reason="missing_api_key")
    key = entry.key
    if not key.is_active:
        return Refuse(401, "invalid_api_key", _BAD_KEY, reason="disabled_api_key", key=key)
    if key.expires_at_us is not None and key.expires_at_us <= now_us:
        return Refuse(401, "invalid_api_key", _BAD_KEY, reason="expired_api_key", key=key)
    if (secret in head.path or b"%" in head.path) and is_in_path(head.path, secret):
        return Refuse(400, "bad_request", _KEY_IN_PATH, reason="bad_path", key=key)
    return entry, secret


def _refuse_credentials(
    head: RequestHead, presented: dict[bytes, bool], known: int, snapshot: Snapshot
) -> Refuse:
    """Refuse a request that presents none of the gateway's keys, or several."""
    if known:
        return Refuse(401, "invalid_api_key", _BAD_KEY, reason="two_api_keys")
    if any(presented.values()):
        return Refuse(401, "invalid_api_key", _BAD_KEY, reason="unknown_api_key")
    message = _NO_KEY
    if any(map(has_key_form, presented)):
        message = _NO_BEARER
    elif not snapshot.has_cors and _is_preflight(head):
        message = _NO_CORS
    return Refuse(401, "missing_api_key", message, reason="missing_api_key")


def _is_preflight(head: RequestHead) -> bool:
    return head.method == "OPTIONS" and any(
        name == b"access-control-request-method" for name, _ in head.headers
    )
