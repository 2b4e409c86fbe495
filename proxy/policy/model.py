"""The plain data that policy works on. Frozen, so that a snapshot of it can be shared and swapped whole.

A header is a pair of bytes, its name in lower case. A time is microseconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))  # that are forwarded
HeaderPairs = Sequence[tuple[bytes, bytes]]


class RequestHead(msgspec.Struct, frozen=True):
    """A request without its body, as it came: `path` and `query` are raw bytes, never decoded.

    `is_query_empty` tells `/a?` from `/a`, which is another resource (RFC 3986 section 6.2.3).

    A Struct, because one is made for every request: a frozen dataclass takes ten times as long.
    """

    method: str
    path: bytes
    query: bytes
    headers: HeaderPairs
    peer: str = ""
    http_version: str = "1.1"
    scheme: str = "http"
    is_query_empty: bool = False

    def __repr__(self) -> str:
        # Query and headers may hold credentials.
        return f"RequestHead({self.method} {self.path!r} from {self.peer})"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What policy knows of a key. `digest` is `sha256:<hex>` of the secret, which nobody keeps.

    A key that was rotated is there twice: `is_previous` is the one with the secret that it had before, and it
    expires when that does. The rest is the same for both, and so is what they are counted as.
    """

    key_id: str
    digest: str
    source_path: str = "default"
    permissions: tuple[str, ...] = ()
    is_active: bool = True
    expires_at_us: int | None = None
    rate_limit: int | None = None  # requests a minute; None: the configured default; 0: no limit
    rate_burst: int | None = None  # requests at once; None: a minute's allowance
    is_previous: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """One rule of the route table, with names, defaults and order as the contract's table has them.

    `target_host` is `host[:port]`; `target_path` empty means "the request's own path". The values in
    `add_headers` may be references (`${env:NAME}`, `${file:PATH}`) until the snapshot resolves them.
    `targets` are further origins (`http://host:port`) that serve the same paths as the first. The values in
    `add_body_fields` are JSON text.
    """

    route_id: str
    route_name: str
    match_path: str
    target_host: str
    target_path: str = ""
    target_protocol: str = "http"
    match_methods: frozenset[str] = frozenset()  # empty: any method
    match_headers: tuple[tuple[str, str | None], ...] = ()  # value None: the header is present
    strip_path_prefix: bool = False
    add_headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    remove_headers: frozenset[str] = frozenset()
    timeout_seconds: float | None = None  # None: `proxy.timeout`
    is_active: bool = True
    priority: int = 100
    created_at_us: int = 0
    match_body_schema: Mapping[str, Any] | bool | None = None
    add_body_fields: tuple[tuple[str, bytes], ...] = ()
    targets: tuple[str, ...] = ()
    balance: str = "failover"  # or round-robin, least-in-flight
    retry_count: int = 0
    retry_statuses: frozenset[int] = frozenset()
    total_timeout_seconds: float | None = None  # None: no bound
    http_version: str = "1.1"  # or 2
    tls_ca: str = ""  # a file of authorities besides the system's; empty: those alone
    tls_verify: bool = True
    on_client_abort: str = "cancel"  # or drain
    pass_credential: bool = False  # a credential that is none of the gateway's goes to the backend
    encoded_slash: bool = False  # %2F within a segment is text of that segment
    keep_redirects: bool = False  # a backend's redirects to itself are left as they are
