"""The one decision: what to do with a request. Pure; the proxy and `routes explain` call the same function.

The order is framing, credential, key, route, permission: nobody without a valid key learns which routes
there are. What the client is told never tells an unknown key from a disabled or an expired one; the audit
row does (`reason`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from proxy.policy.credentials import digest_secret, find_credentials
from proxy.policy.forwarded import Forwarded
from proxy.policy.framing import find_fault, has_dot_segment
from proxy.policy.headers import build_request_headers
from proxy.policy.model import ApiKey, RequestHead
from proxy.policy.permissions import Permission, is_permitted
from proxy.policy.routing import CompiledRoute, RouteTable

_NO_KEY = "no API key was sent; use the header 'Authorization: Bearer KEY'"
_BAD_KEY = "the API key is not valid"


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """A key of the snapshot with its permissions compiled."""

    key: ApiKey
    permissions: tuple[Permission, ...] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything a decision depends on besides the request: immutable, swapped whole, never edited."""

    revision: int = 0
    keys: dict[str, KeyEntry] = field(default_factory=dict)  # by digest
    routes: RouteTable = field(default_factory=RouteTable)


@dataclass(frozen=True, slots=True)
class Forward:
    """Send the request on. `target` is the raw path and query; `headers` lack framing.

    Both may hold secrets, and are in no repr.
    """

    key: ApiKey
    compiled: CompiledRoute
    target: bytes = field(repr=False)
    headers: list[tuple[bytes, bytes]] = field(repr=False)

    @property
    def target_url(self) -> str:
        """Return the URL that is asked for, as the audit row holds it."""
        return self.compiled.origin + self.target.decode("latin-1")


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer it ourselves. `reason` is for the audit row; `code` and `message` are for the client."""

    status: int
    code: str
    message: str
    reason: str
    key: ApiKey | None = None


Decision = Forward | Refuse


def decide(
    head: RequestHead, snapshot: Snapshot, now_us: int, request_id: str, forwarded: Forwarded | None = None
) -> Decision:
    """Decide on a request from its head, the snapshot and the time in microseconds since the epoch.

    `forwarded` is what a trusted proxy in front of the gateway said of it; it only goes into the headers.
    """
    if fault := find_fault(head):
        return Refuse(400, "bad_request", fault[1], reason=fault[0])
    entry = _find_key(head, snapshot, now_us)
    if isinstance(entry, Refuse):
        return entry
    found = snapshot.routes.find(head)
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
    return Forward(
        key=entry.key,
        compiled=compiled,
        target=path + b"?" + head.query if head.query else path,
        headers=build_request_headers(head, compiled.header_rules, request_id, forwarded),
    )


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
