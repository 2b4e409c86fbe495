"""A request's body as the decision sees it: perhaps absent, perhaps not read yet, parsed at most once.

Nothing here reads a body. Whoever needs one that has not come yet raises `BodyUnreadError`, and the decision
then asks for it. Of a compressed body a rule looks at the decoded content; what is sent is as it came.
"""

from __future__ import annotations

from typing import Any

from proxy.errors import InvalidInputError
from proxy.policy.content_encodings import decode_body, find_encoding_fault, read_encodings
from proxy.policy.forms import read_field
from proxy.policy.json_text import parse_json
from proxy.policy.media_types import is_form, read_boundary, read_type, rules_out_json
from proxy.policy.model import RequestHead

CONTENT_BYTES_MAX = 32 << 20  # of a body that a rule looks at, once it is decoded


class BodyUnreadError(Exception):
    """The decision depends on a body that has not been read yet."""


class Body:
    """The body of one request. `raw` None: not read yet, or there is none.

    `content_bytes_max` bounds what a compressed body is decoded to.
    """

    __slots__ = (
        "_content",
        "_content_bytes_max",
        "_head",
        "_is_parsed",
        "_media_type",
        "_value",
        "fault",
        "raw",
    )

    def __init__(
        self, head: RequestHead, raw: bytes | None = None, content_bytes_max: int = CONTENT_BYTES_MAX
    ) -> None:
        self.raw = raw
        self.fault: InvalidInputError | None = None  # why it cannot be used, once somebody has tried
        self._head = head
        self._content: bytes | None = None
        self._content_bytes_max = content_bytes_max
        self._media_type: bytes | None = None
        self._value: Any = None
        self._is_parsed = False

    @property
    def is_absent(self) -> bool:
        """Tell whether the request has no body: none was announced, or the one that came is empty."""
        return not announces_body(self._head) if self.raw is None else not self.raw

    @property
    def media_type(self) -> bytes:
        """Return type and subtype; empty if they are not plainly stated."""
        if self._media_type is None:
            self._media_type = read_type(_values(self._head, b"content-type"))
        return self._media_type

    @property
    def is_other_than_json(self) -> bool:
        """Tell whether its media type says that it is no JSON. It is then not parsed, nor read for that."""
        return rules_out_json(self.media_type)

    @property
    def is_encoded(self) -> bool:
        """Tell whether it is in a content encoding (RFC 9110 section 8.4)."""
        return bool(find_encodings(self._head))

    @property
    def is_form(self) -> bool:
        """Tell whether it is a form with parts."""
        return is_form(self.media_type)

    def read_content(self) -> bytes:
        """Return its bytes, decoded if it is compressed.

        Raises `BodyUnreadError` if it has to be read first, `InvalidInputError` if it cannot be decoded.
        """
        if self._content is None:
            encodings = find_encodings(self._head)
            if fault := find_encoding_fault(encodings):
                raise fault
            if self.raw is None:
                raise BodyUnreadError
            self._content = (
                decode_body(self.raw, encodings[0], self._content_bytes_max) if encodings else self.raw
            )
        return self._content

    def parse(self) -> Any:
        """Return the value of a JSON body that is not absent.

        Raises `BodyUnreadError` if it has to be read first, `InvalidInputError` if it is not JSON.
        """
        if self._is_parsed:
            return self._value
        if self.fault is not None:
            raise self.fault
        try:
            self._value = self._parse()
        except InvalidInputError as fault:
            self.fault = fault
            raise
        self._is_parsed = True
        return self._value

    def read_form_field(self, name: str) -> str | None:
        """Return the value of a field of a form that is not absent, or None if it has no such field.

        Raises `BodyUnreadError` if it has to be read first, `InvalidInputError` if it is not well-formed.
        """
        boundary = read_boundary(_values(self._head, b"content-type")[0])
        if boundary is None:
            raise InvalidInputError("its content type states no boundary, or not plainly")
        return read_field(self.read_content(), boundary, name)

    def _parse(self) -> Any:
        if self.is_other_than_json:
            raise InvalidInputError(f"its content type is {self.media_type.decode()}, which is no JSON")
        return parse_json(self.read_content())


def announces_body(head: RequestHead) -> bool:
    """Tell whether a request announces a body that may have bytes (RFC 9112 section 6)."""
    for name, value in head.headers:
        if name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0")):
            return True
    return False


def find_encodings(head: RequestHead) -> list[bytes]:
    """Return the content encodings of a body, without `identity` (RFC 9110 section 8.4)."""
    return read_encodings(_values(head, b"content-encoding"))


def too_large_message(limit_bytes: int, setting: str, size_bytes: int | None = None) -> str:
    """Return what a client is told whose body is larger than a setting allows; its size if it is known."""
    if size_bytes is None:
        return f"the body is larger than {limit_bytes:,} bytes, which is what {setting} allows"
    return f"the body is {size_bytes:,} bytes; {setting} allows {limit_bytes:,}"


def _values(head: RequestHead, wanted: bytes) -> list[bytes]:
    return [value for name, value in head.headers if name == wanted]
