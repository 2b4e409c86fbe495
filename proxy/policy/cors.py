"""Which pages in a browser may use the gateway: the CORS protocol of the Fetch standard.

When `cors.enabled` says so the gateway answers preflights itself, without a key and without a backend, and
what a backend says in `access-control-*` is replaced: there is one place that decides, and it is the
configuration. With credentials a browser takes no `*` ("CORS protocol and credentials"), so an allowed origin
is echoed then, and `Vary: Origin` keeps a cache from serving one origin's answer to another.
A page of an origin that is not allowed cannot read its answer; the request is served all the same, so this
is no access check. Keys are. `Origin` itself goes no further than here: a backend with rules of its own, such
as Ollama, would judge it a second time, and refuse what the configuration allows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from proxy.policy.framing import find_fault
from proxy.policy.model import METHODS, HeaderPairs, RequestHead
from proxy.settings import CorsSettings, Settings

MAX_AGE_SECONDS = 600  # how long a browser may remember a preflight, and so an older configuration
_EXPOSED = b", ".join(
    (
        b"x-request-id",
        b"x-upstream-request-id",
        b"server-timing",
        b"retry-after",
        b"x-ratelimit-limit-requests",
        b"x-ratelimit-remaining-requests",
        b"x-ratelimit-reset-requests",
    )
)
_AUTHORITY = rb"[!-+.-.0-;=A-~-]{1,300}"
_ORIGIN = re.compile(rb"null|[a-z][a-z0-9+.-]{0,31}://" + _AUTHORITY)
_DEFAULT_PORT = re.compile(r"(http://.*):80|(https://.*):443")  # which browsers leave out
_FIELD_NAMES = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z, \t-]{1,4096}")
_PRIVATE_NETWORK = b"access-control-request-private-network"
_ANY = "*"
ORIGIN_HEADER = "origin"


def list_stripped_headers(settings: Settings) -> tuple[str, ...]:
    """Return the request headers that no backend gets: those configured, and `Origin` where it is judged."""
    return (*settings.proxy.strip_headers, *((ORIGIN_HEADER,) if settings.cors.enabled else ()))


@dataclass(frozen=True, slots=True)
class CorsPolicy:
    """What the `cors` section allows. `origins` and `headers` are None where it says `*`.

    `patterns` is for the origins that are not spelled out, such as `https://*.example.com`.
    """

    origins: frozenset[bytes] | None
    patterns: re.Pattern[bytes] | None
    methods: bytes
    headers: bytes | None
    allow_credentials: bool

    @classmethod
    def build(cls, settings: CorsSettings) -> CorsPolicy | None:
        """Return the policy that the configuration asks for, or None if CORS is not enabled."""
        if not settings.enabled:
            return None
        origins = [_normalise(origin) for origin in settings.allow_origins]
        # `*` is spelled out: with credentials a browser takes it for the name of a method.
        methods = sorted(METHODS) if _ANY in settings.allow_methods else settings.allow_methods
        return cls(
            origins=None if _ANY in origins else frozenset(o.encode() for o in origins if _ANY not in o),
            patterns=_compile_patterns(origin for origin in origins if _ANY in origin),
            methods=", ".join(method.upper() for method in methods).encode(),
            headers=None if _ANY in settings.allow_headers else ", ".join(settings.allow_headers).encode(),
            allow_credentials=settings.allow_credentials,
        )

    def answer_preflight(self, head: RequestHead) -> list[tuple[bytes, bytes]] | None:
        """Return the headers of the 204 that answers a preflight, or None if a request is none.

        One that an intermediary has to refuse gets no answer here: it is refused as any other.
        """
        if not is_preflight(head) or find_fault(head):
            return None
        answer = self._grant(_find_one(head, b"origin") or b"")
        if answer:
            answer.append((b"access-control-allow-methods", self.methods))
            if allowed := self._allowed_headers(head):
                answer.append((b"access-control-allow-headers", allowed))
            if _find_one(head, _PRIVATE_NETWORK) == b"true":
                # Chrome asks for this before a public page may reach an address of the local network.
                answer.append((b"access-control-allow-private-network", b"true"))
            answer.append((b"access-control-max-age", b"%d" % MAX_AGE_SECONDS))
        answer.append((b"vary", b"Origin, Access-Control-Request-Headers"))
        return answer

    def apply(self, head: RequestHead, headers: HeaderPairs) -> list[tuple[bytes, bytes]]:
        """Return a response's headers, their names in lower case, with what its page may see.

        The answer to a preflight is whole already.
        """
        if is_preflight(head):
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
        if not origin or not self._allows(origin):
            return []
        if self.allow_credentials:
            allowed = (b"access-control-allow-origin", origin)
            return [allowed, (b"access-control-allow-credentials", b"true")]
        return [(b"access-control-allow-origin", b"*" if self.origins is None else origin)]

    def _allows(self, origin: bytes) -> bool:
        if self.origins is None:
            return _ORIGIN.fullmatch(origin) is not None
        if origin in self.origins:
            return True
        return self.patterns is not None and self.patterns.fullmatch(origin) is not None

    def _allowed_headers(self, head: RequestHead) -> bytes | None:
        if self.headers is not None:
            return self.headers
        # `authorization` has to be named even where `*` would be taken, so what is asked for is echoed.
        asked = _find_one(head, b"access-control-request-headers")
        return asked if asked and _FIELD_NAMES.fullmatch(asked) else None


def _normalise(origin: str) -> str:
    """Return an origin as browsers write it (Fetch standard, "serializing a request origin")."""
    plain = origin.lower().rstrip("/")
    default = _DEFAULT_PORT.fullmatch(plain)
    return plain if default is None else default[1] or default[2]


def _compile_patterns(origins: Iterable[str]) -> re.Pattern[bytes] | None:
    """Return one expression for all origins with a `*`: any host, any labels before a host, or any port."""
    expressions = [_express(origin) for origin in origins]
    return re.compile(b"|".join(expressions)) if expressions else None


def _express(origin: str) -> bytes:
    scheme, _, authority = origin.encode().partition(b"://")
    if authority == b"*":
        return re.escape(scheme) + b"://" + _AUTHORITY
    host = authority.removesuffix(b":*")
    port = b"(?::[0-9]{1,5})?" if host != authority else b""
    labels = b"(?:[a-z0-9_-]+[.])+" if host.startswith(b"*.") else b""
    return re.escape(scheme) + b"://" + labels + re.escape(host.removeprefix(b"*.")) + port


def is_preflight(head: RequestHead) -> bool:
    """Tell whether a request asks, for a browser, whether another may be sent."""
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
