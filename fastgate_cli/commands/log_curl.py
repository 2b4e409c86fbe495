"""A recorded request as a curl command to paste into a shell, against the gateway. Pure.

The key is a variable of the shell, because nobody has recorded it. What cannot be given back as it was sent
is left out or stands there as a placeholder, and a remark says so.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import NamedTuple

from fastgate_cli.columns import INVISIBLE, Row
from fastgate_cli.commands.log_bodies import is_whole, lay_out_json

KEY_VARIABLE = "$FASTGATE_KEY"
BODY_FILE = "BODY"
BODY_BYTES_MAX = 100_000  # Linux takes 128 KiB in one argument
_TEXT_MAX = 500  # characters of a path and of a target that a row keeps
_MASK = "[redacted]"
_KEY_HEADERS = frozenset({"authorization", "x-api-key", "api-key", "x-goog-api-key"})
# What curl states of a request itself, or the gateway of the one that it sends on.
_STATED = frozenset(
    (
        *("host", "content-length", "user-agent", "expect", "connection", "keep-alive", "proxy-connection"),
        *("te", "trailer", "transfer-encoding", "upgrade"),
        *("x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "forwarded", "via"),
        "x-request-id",
    )
)
_COMPRESSED = re.compile(r"gzip|deflate|\bbr\b|zstd", re.IGNORECASE)
_SCHEME = re.compile(r"([A-Za-z]{2,10}) \[redacted\]")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# In a terminal, what is pasted loses these or acts on them.
_UNPASTABLE = re.compile(f"[\x00-\x08\x0b-\x1f{INVISIBLE}\ud800-\udfff]")
_UNSAFE_IN_URL = re.compile(r"[^!-~]")
_ADVICE = f"put one into a file, and its name in the place of {BODY_FILE}"
_EVERYWHERE = {"://0.0.0.0:": "://127.0.0.1:", "://[::]:": "://[::1]:"}


class CurlCommand(NamedTuple):
    """A command as text for a POSIX shell, and what a person has to know of it."""

    text: str
    remarks: tuple[str, ...]


def build_curl(row: Row, address: str) -> CurlCommand:
    """Return the command that sends a recorded request to the gateway at an address (`http://host:port`)."""
    remarks: list[str] = []
    body = _write_body(row, remarks)
    words = ["curl", *_write_method(row, has_body=bool(body)), _write_url(row, address, remarks)]
    lines = [" ".join(words), *_write_headers(row, remarks, has_body=bool(body)), *body]
    return CurlCommand(" \\\n  ".join(lines), tuple(remarks))


def _write_method(row: Row, *, has_body: bool) -> Iterator[str]:
    if row["is_stream"]:
        yield "-N"
    method = row["method"]
    if method == "HEAD" and not has_body:
        yield "--head"
    elif method != ("POST" if has_body else "GET"):
        yield f"-X {shlex.quote(_UNPASTABLE.sub('?', method))}"


def _write_url(row: Row, address: str, remarks: list[str]) -> str:
    for everywhere, here in _EVERYWHERE.items():
        address = address.replace(everywhere, here)
    if address.endswith(":0"):
        remarks.append("no gateway is running and app.port is 0: write its port in place of 0")
    target = row["target_url"]
    path, (_, question, query) = row["path"], (target or "").partition("?")
    if len(path) >= _TEXT_MAX or len(target or "") >= _TEXT_MAX:
        remarks.append(f"only {_TEXT_MAX} characters of the path are recorded: the URL may be longer")
    if _MASK in path + query:
        remarks.append(f"{_MASK} in the URL stands for a value that was masked")
    if target is None:
        remarks.append("the query of a request that was not sent on is not recorded")
    url = address + _UNSAFE_IN_URL.sub(lambda found: f"%{ord(found[0]):02X}", path + question + query)
    options = ["-g"] if re.search(r"[][{}]", path + query) else []
    if "/." in path:
        options.append("--path-as-is")
    return " ".join([*options, shlex.quote(url)])


def _write_headers(row: Row, remarks: list[str], *, has_body: bool) -> Iterator[str]:
    headers, names = _read_headers(row["request_headers"]), set[str]()
    if headers is None:
        remarks.append("the headers were not recorded")
    masked: list[str] = []
    for name, value in headers or ():
        names.add(name.lower())
        if name.lower() in _KEY_HEADERS and _MASK in value:
            yield _write_key(name, value)
        elif _MASK in value or _UNPASTABLE.search(value) or not _NAME.fullmatch(name):
            masked.append(name)
        else:
            yield from _write_header(name, value)
    if masked:
        given = ", ".join(dict.fromkeys(name for name in masked if _NAME.fullmatch(name)))
        remarks.append(f"left out, because their values are masked or cannot be pasted: {given}")
    if row["api_key"] and not names & _KEY_HEADERS:
        yield _write_key("Authorization", "Bearer [redacted]")
    if has_body and headers is None and lay_out_json(row["request_body"] or ""):
        yield "-H 'Content-Type: application/json'"
    elif has_body and headers is not None and "content-type" not in names:
        yield "-H 'Content-Type:'"  # or curl would state one of its own


def _read_headers(headers: object) -> list[tuple[str, str]] | None:
    if not isinstance(headers, list):
        return None
    return [
        (header[0], header[1])
        for header in headers
        if isinstance(header, list) and len(header) == 2 and all(isinstance(text, str) for text in header)
    ]


def _write_key(name: str, value: str) -> str:
    """Return a header with the key as a variable: in double quotes, so that the shell puts it in."""
    scheme = _SCHEME.fullmatch(value)
    return f'-H "{name}: {scheme[1] + " " if scheme else ""}{KEY_VARIABLE}"'


def _write_header(name: str, value: str) -> Iterator[str]:
    lower = name.lower()
    if lower == "accept-encoding" and _COMPRESSED.search(value):
        yield "--compressed"  # and curl undoes it
    elif lower not in _STATED and (lower, value) != ("accept", "*/*"):
        # Without a value, curl would take a colon for the wish to leave the header out.
        yield f"-H {shlex.quote(f'{name}: {value}' if value.strip() else f'{name};')}"


def _write_body(row: Row, remarks: list[str]) -> list[str]:
    body, size = row["request_body"], row["request_size"]
    if body is None:
        if not size and row["response_time"] is None and row["error_message"] is None:
            remarks.append("the request is in flight: its body is recorded when it has ended")
        if not size:
            return []
        remarks.append(f"its body of {size} bytes was not recorded: {_ADVICE}")
    elif not is_whole(body, size):
        remarks.append(f"only a part of its body was recorded, or it is binary ({size} bytes): {_ADVICE}")
    elif _UNPASTABLE.search(body) or len(body.encode("utf-8", "replace")) > BODY_BYTES_MAX:
        get = f"fastgate logs show {row['id']} --json | jq -j .request_body > {BODY_FILE}"
        remarks.append(f"its body is too long or too odd to paste; first: {get}")
    else:
        if _MASK in body:
            remarks.append(f"{_MASK} in the body stands for a secret that was masked")
        return [f"--data-raw {shlex.quote(body)}"]
    return [f"--data-binary @{BODY_FILE}"]
