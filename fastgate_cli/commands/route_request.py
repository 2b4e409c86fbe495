"""The request of `routes explain` and `routes test`: their options, as a client would have sent them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from fastgate_cli.headers import check_name
from proxy.errors import InvalidInputError

if TYPE_CHECKING:
    from proxy.policy.model import RequestHead
    from proxy.settings import AppSettings

# Stands for a key of which only the id is known, or for one that may do everything; no key can look like it.
STAND_IN = "stand-in"
CREDENTIALS = frozenset((b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key"))
HeaderOption = Annotated[
    list[str] | None,
    typer.Option("--header", metavar="'K: V'", help="A header of the request. Repeatable."),
]
DataOption = Annotated[
    str | None, typer.Option("--data", metavar="JSON|@FILE", help="The body of the request.")
]


def read_header(text: str) -> tuple[bytes, bytes]:
    """Return the name, in lower case, and the value of a header written as `K: V`."""
    name, colon, value = text.partition(":")
    if not colon:
        # The text is not quoted: it may be a secret.
        raise InvalidInputError("a header has no colon", hint="write it as --header 'Name: value'")
    return check_name(name.strip(), name).lower().encode(), os.fsencode(value.strip())


def build_head(
    method: str,
    path: str,
    given: Sequence[tuple[bytes, bytes]],
    body: bytes,
    app: AppSettings,
    *,
    credential: str | None = STAND_IN,
    is_always_added: bool = False,
) -> RequestHead:
    """Return the head with the headers given, and those that a client adds: host, key and what frames a body.

    The credential stands before those that are given; without `is_always_added` it is there only if none is.
    A body is taken for JSON unless a content-type is given.
    """
    from proxy.policy.model import RequestHead

    names = {name for name, _ in given}
    headers = [] if b"host" in names else [(b"host", f"{app.host}:{app.port}".encode())]
    if credential is not None and (is_always_added or not names & CREDENTIALS):
        headers.append((b"authorization", b"Bearer " + os.fsencode(credential)))
    headers += given
    if body and not names & {b"content-length", b"transfer-encoding"}:
        headers.append((b"content-length", b"%d" % len(body)))
    if body and b"content-type" not in names:
        headers.append((b"content-type", b"application/json"))
    raw_path, question, query = os.fsencode(path).partition(b"?")
    is_empty = bool(question) and not query
    return RequestHead(method.upper(), raw_path, query, headers, peer="127.0.0.1", is_query_empty=is_empty)
