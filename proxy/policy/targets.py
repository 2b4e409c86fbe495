"""Targets: where a matched request goes, and with which path.

An empty target path sends the request's own path. With `strip_prefix`, what follows the pattern's literal
prefix is appended to the target path. Placeholders are filled with what the pattern matched. Anything else
is one fixed path. The query is no concern of this file: it always goes along unchanged.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from proxy.errors import InvalidInputError
from proxy.policy.framing import has_dot_segment
from proxy.policy.patterns import Pattern

PathBuilder = Callable[[bytes, re.Match[bytes]], bytes]
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")
_PATH = re.compile(r"/[!-~]*")
_BLANK = re.compile(r"[\x00-\x20\x7f]")
_EXAMPLE = "write it as http://127.0.0.1:8000 or https://api.example.com/base"


@dataclass(frozen=True, slots=True)
class Target:
    """A backend: `http` or `https`, `host[:port]`, and the target path (empty: the request's own)."""

    protocol: str
    host: str
    path: str = ""

    @property
    def origin(self) -> str:
        """Return scheme, host and port as a URL without a path."""
        return f"{self.protocol}://{self.host}"


def parse_target(
    url: str, *, target_path: str | None = None, strip_prefix: bool = False, pattern: Pattern
) -> Target:
    """Return the target that `--to` and its companions mean; `InvalidInputError` says what is wrong."""
    protocol, host, url_path = _split_url(url)
    if target_path and url_path:
        raise InvalidInputError(
            "the URL already has a path", hint="use either a path in --to or --target-path"
        )
    target = Target(protocol, host, target_path or url_path)
    compile_target(target.path, strip_prefix=strip_prefix, pattern=pattern)
    return target


def _split_url(url: str) -> tuple[str, str, str]:
    # What a message may quote: neither user name and password nor the query.
    shown = re.split(r"[?#]", url.rpartition("@")[2], maxsplit=1)[0]
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InvalidInputError(f"{shown!r} is not a URL with a valid port", hint=_EXAMPLE) from None
    if parts.scheme not in ("http", "https") or not parts.hostname or _BLANK.search(url):
        raise InvalidInputError(f"{shown!r} is not an http or https URL", hint=_EXAMPLE)
    if parts.username is not None or parts.password is not None:
        raise InvalidInputError(
            "a target URL holds no user name or password", hint="use --set-header for credentials"
        )
    if "?" in url or "#" in url:
        raise InvalidInputError(
            f"{shown!r} is followed by a query or a fragment", hint="the query of the request goes along"
        )
    host = _check_host(shown, parts.hostname, bracketed="[" in parts.netloc)
    if port == 0 or parts.netloc.endswith(":"):
        raise InvalidInputError(f"{shown!r} has no valid port", hint=_EXAMPLE)
    return parts.scheme, host if port is None else f"{host}:{port}", "" if parts.path == "/" else parts.path


def _check_host(url: str, host: str, *, bracketed: bool) -> str:
    if bracketed:
        try:
            return f"[{ipaddress.IPv6Address(host)}]"
        except ValueError:
            raise InvalidInputError(f"{url!r} has no valid IPv6 address", hint=_EXAMPLE) from None
    if len(host) > 253 or not _HOST_NAME.fullmatch(host):
        raise InvalidInputError(f"{url!r} has no valid host name", hint=_EXAMPLE)
    return host


def compile_target(path: str, *, strip_prefix: bool, pattern: Pattern) -> PathBuilder:
    """Return the function from a raw path and its match to the raw path that is sent."""
    if path and (not _PATH.fullmatch(path) or set(path) & set("?#\\")):
        raise InvalidInputError(
            f"the target path {path!r} is not a path", hint="it begins with / and has no spaces"
        )
    if has_dot_segment(path.encode()):
        raise InvalidInputError(f"the target path {path!r} has a segment '.' or '..'", hint="write it out")
    if strip_prefix and set(path) & set("{}"):
        raise InvalidInputError(
            f"the target path {path!r} has a placeholder, and the prefix is to be stripped",
            hint="use either placeholders or --strip-prefix",
        )
    if strip_prefix:
        return _strip_prefix(path.encode(), len(pattern.literal_prefix))
    if not path:
        return lambda path, _match: path
    names = _PLACEHOLDER.findall(path)
    unknown = [name for name in names if name not in pattern.placeholders]
    if unknown or set(_PLACEHOLDER.sub("", path)) & set("{}"):
        raise InvalidInputError(
            f"the target path {path!r} has a placeholder that the pattern {pattern.text!r} lacks",
            hint="placeholders: "
            + (", ".join(f"{{{name}}}" for name in sorted(pattern.placeholders)) or "none"),
        )
    return _fill_placeholders(path) if names else _send_fixed(path.encode())


def _strip_prefix(base: bytes, prefix_length: int) -> PathBuilder:
    stem = base.rstrip(b"/") + b"/"

    def build(path: bytes, _match: re.Match[bytes]) -> bytes:
        rest = path[prefix_length:].lstrip(b"/")
        return stem + rest if rest else base or b"/"

    return build


def _send_fixed(path: bytes) -> PathBuilder:
    return lambda _path, _match: path


def _fill_placeholders(template: str) -> PathBuilder:
    pieces = _PLACEHOLDER.split(template)
    literals = [piece.encode() for piece in pieces[0::2]]
    names = pieces[1::2]

    def build(_: bytes, match: re.Match[bytes]) -> bytes:
        filled = [literals[0]]
        for name, literal in zip(names, literals[1:], strict=True):
            filled += (match[name], literal)
        return b"".join(filled)

    return build
