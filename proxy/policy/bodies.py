"""A request's body as the decision sees it: perhaps absent, perhaps not read yet, parsed at most once.

Nothing here reads a body. Whoever needs one that has not come yet raises `BodyUnreadError`, and the decision
then asks for it. A body in a content encoding is never decoded: to a rule it is a body that is no JSON.
"""

from __future__ import annotations

from typing import Any

from proxy.errors import InvalidInputError
from proxy.policy.json_text import parse_json
from proxy.policy.model import RequestHead

_PLAIN_ENCODINGS = (b"", b"identity")


class BodyUnreadError(Exception):
    """The decision depends on a body that has not been read yet."""


class Body:
    """The body of one request. `raw` None: not read yet, or there is none."""

    __slots__ = ("_head", "_is_parsed", "_value", "fault", "raw")

    def __init__(self, head: RequestHead, raw: bytes | None = None) -> None:
        self.raw = raw
        self.fault: InvalidInputError | None = None  # why it cannot be used, once somebody has tried
        self._head = head
        self._value: Any = None
        self._is_parsed = False

    @property
    def is_absent(self) -> bool:
        """Tell whether the request has no body: none was announced, or the one that came is empty."""
        return not announces_body(self._head) if self.raw is None else not self.raw

    def parse(self) -> Any:
        """Return the value of a JSON body that is not absent.

        Raises `BodyUnreadError` if it has to be read first, `InvalidInputError` if it is not JSON.
        """
        if self._is_parsed:
            return self._value
        if self.fault is None:
            try:
                self._value = self._parse()
                self._is_parsed = True
                return self._value
            except InvalidInputError as fault:
                self.fault = fault
        raise self.fault

    def _parse(self) -> Any:
        if is_encoded(self._head):
            raise InvalidInputError("it is compressed, and a gateway does not decompress")
        if self.raw is None:
            raise BodyUnreadError
        return parse_json(self.raw)


def announces_body(head: RequestHead) -> bool:
    """Tell whether a request announces a body that may have bytes (RFC 9112 section 6)."""
    for name, value in head.headers:
        if name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0")):
            return True
    return False


def is_encoded(head: RequestHead) -> bool:
    """Tell whether the body is in a content encoding (RFC 9110 section 8.4)."""
    return any(
        value.strip().lower() not in _PLAIN_ENCODINGS
        for name, value in head.headers
        if name == b"content-encoding"
    )
