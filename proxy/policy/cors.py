"""Which pages in a browser may use the gateway: the CORS protocol of the Fetch standard.

When `cors.enabled` says so the gateway answers preflights itself, without a key and without a backend, and
what a backend says in `access-control-*` is replaced: there is one place that decides, and it is the
configuration. With credentials a browser takes no `*` ("CORS protocol and credentials"), so an allowed origin
is echoed then, and `Vary: Origin` keeps a cache from serving one origin's answer to another.
A page of an origin that is not allowed cannot read its answer; the request is served all the same, so this
is no access check. Keys are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from proxy.policy.framing import find_fault
from proxy.policy.model import METHODS, HeaderPairs, RequestHead
from proxy.settings import CorsSettings

MAX_AGE_SECONDS = 600  # how long a browser may remember a preflight, and so an older configuration
_EXPOSED = b", ".join(
    (
        b"x-request-id",
        b"server-timing",
        b"retry-after",
        b"x-ratelimit-limit-requests",
        b"x-ratelimit-remaining-requests",
        b"x-ratelimit-reset-requests",
    )
)
_ORIGIN = re.compile(rb"null|[a-z][a-z0-9+.-]{0,31}://[!-+.-.0-;=A-~-]{1,300}")
_FIELD_NAMES = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z, \t-]{1,4096}")
_ANY = "*"


@dataclass(frozen=True, slots=True)
class CorsPolicy:
    """What the `cors` section allows. `origins` and `headers` are None where it says `*`."""

    origins: frozenset[bytes] | None
    methods: bytes
    headers: bytes | None
    allow_credentials: bool

    @classmethod
    def build(cls, settings: CorsSettings) -> CorsPolicy | None:
        """Return the policy that the configuration asks for, or None if CORS is not enabled."""
        if not settings.enabled:
            return None
        origins = frozenset(origin.lower().rstrip("/").encode() for origin in settings.allow_origins)
        # `*` is spelled out: with credentials a browser takes it for the name of a method.
        methods = sorted(METHODS) if _ANY in settings.allow_methods else settings.allow_methods
        return cls(
            origins=None if _ANY in settings.allow_origins else origins,
            methods=", ".join(method.upper() for method in methods).encode(),
            headers=None if _ANY in settings.allow_headers else ", ".join(settings.allow_headers).encode(),
            allow_credentials=settings.allow_credentials,
        )

    def answer_preflight(self, head: RequestHead) -> list[tuple[bytes, bytes]] | None:
        """Return the headers of the 204 that answers a preflight, or None if a request is none.

        One that an intermediary has to refuse gets no answer here: it is refused as any other.
        """
        if not _is_preflight(head) or find_fault(head):
            return None
        answer = self._grant(_find_one(head, b"origin") or b"")
        if answer:
            answer.append((b"access-control-allow-methods", self.methods))
            if allowed := self._allowed_headers(head):
                answer.append((b"access-control-allow-headers", allowed))
            answer.append((b"access-control-max-age", b"%d" % MAX_AGE_SECONDS))
        answer.append((b"vary", b"Origin, Access-Control-Request-Headers"))
        return answer

    def apply(self, head: RequestHead, headers: HeaderPairs) -> list[tuple[bytes, bytes]]:
        """Return a response's headers, their names in lower case, with what its page may see.

        The answer to a preflight is whole already.
        """
        if _is_preflight(head):
            return list(headers)
        kept = [pair for pair in headers if not pair[0].startswith(b"access-control-")]
        if granted := self._grant(_find_one(head, b"origin") or b""):
            kept += granted
            kept.append((b"access-control-expose-headers", _EXPOSED))
        # Said to every client, those without an origin too: it is caches between them that have to know.
        if self.origins is not None or self.allow_credentials:
            _add_vary(kept)
        return kept

    def _grant(self, origin: bytes) -> list[tuple[bytes, bytes]]:
        """Return what lets a page of an origin in; nothing for one that is not allowed, or is empty."""
        if not origin:
            return []
        is_allowed = _ORIGIN.fullmatch(origin) if self.origins is None else origin in self.origins
        if not is_allowed:
            return []
        if self.allow_credentials:
            allowed = (b"access-control-allow-origin", origin)
            return [allowed, (b"access-control-allow-credentials", b"true")]
        return [(b"access-control-allow-origin", b"*" if self.origins is None else origin)]

    def _allowed_headers(self, head: RequestHead) -> bytes | None:
        if self.headers is not None:
            return self.headers
        # `authorization` has to be named even where `*` would be taken, so what is asked for is echoed.
        asked = _find_one(head, b"access-control-request-headers")
        return asked if asked and _FIELD_NAMES.fullmatch(asked) else None


def _is_preflight(head: RequestHead) -> bool:
    return head.method == "OPTIONS" and None not in (
        _find_one(head, b"origin"),
        _find_one(head, b"access-control-request-method"),
    )


def _find_one(head: RequestHead, wanted: bytes) -> bytes | None:
    values = [value for name, value in head.headers if name == wanted]
    return values[0] if len(values) == 1 else None


def _add_vary(headers: list[tuple[bytes, bytes]]) -> None:
    """Have the response vary by origin (RFC 9110 section 12.5.5), in the field that is there if one is."""
    places = [place for place, pair in enumerate(headers) if pair[0] == b"vary"]
    names = {name.strip().lower() for place in places for name in headers[place][1].split(b",")}
    if names & {b"*", b"origin"}:
        return
    if places and (value := headers[places[-1]][1].strip()):
        headers[places[-1]] = (b"vary", value + b", Origin")
    else:
        headers.append((b"vary", b"Origin"))
