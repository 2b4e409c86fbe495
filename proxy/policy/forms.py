"""Forms with parts (RFC 7578): the value of one field, read so strictly that no server reads another.

Transcriptions and uploads name their model in a form. Servers differ in what they forgive there: text before
the first part, bare line feeds, a name that is given twice, escapes in a name. What could be read in two ways
is refused. Only the named field is looked at; the parts beside it may hold anything but the boundary.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from proxy.errors import InvalidInputError

PARTS_MAX = 1_000
_PART_HEAD_BYTES_MAX = 8 * 1024
_VALUE_BYTES_MAX = 1_024
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_LINE = re.compile(rb"(" + _TOKEN + rb"):([^\x00-\x08\x0a-\x1f\x7f]*)")
# A backslash before a quote is an escape to some, and to others a character and the end of the value.
_PARAMETER = re.compile(rb"[ \t]*;[ \t]*(" + _TOKEN + rb')=(?:"((?:[^"\\]|\\[^"])*)"|(' + _TOKEN + rb"))")
_PLAIN_TRANSFERS = (b"7bit", b"8bit", b"binary")
_DISPOSITION = re.compile(rb"form-data(?=[ \t;]|\Z)", re.IGNORECASE)


def read_field(raw: bytes, boundary: bytes, name: str) -> str | None:
    """Return the value of a field, or None if the form has none of that name.

    Raises `InvalidInputError` if the form could be read in two ways, or names the field twice, in another
    case, or as a file.
    """
    values: list[str] = []
    for field, is_file, value in _read_parts(raw, boundary):
        if field.casefold() != name:
            continue
        if field != name or is_file or values:
            raise InvalidInputError(f"the form may have one field {name} only, which is no file")
        values.append(_read_value(value, name))
    return values[0] if values else None


def _read_value(value: bytes, name: str) -> str:
    try:
        text = value.decode() if len(value) <= _VALUE_BYTES_MAX else None
    except UnicodeDecodeError:
        text = None
    if text is None:
        raise InvalidInputError(f"the form's field {name} is too long or not UTF-8")
    return text


def _read_parts(raw: bytes, boundary: bytes) -> Iterator[tuple[str, bool, bytes]]:
    """Yield name, whether it is a file, and content of each part."""
    delimiter = b"\r\n--" + boundary
    # Split as if a line came before the first, so that all are alike.
    start, *parts = (b"\r\n" + raw).split(delimiter, PARTS_MAX + 2)
    end = parts.pop() if parts else b""
    if len(parts) > PARTS_MAX:
        raise InvalidInputError(f"the form has more than {PARTS_MAX:,} parts")
    is_whole = not start and parts and end in (b"--", b"--\r\n")
    # A server that goes by line feeds alone would find the boundary elsewhere, too.
    if not is_whole or raw.count(delimiter[2:]) != len(parts) + 1:
        raise InvalidInputError("it is not a well-formed form")
    for part in parts:
        head, separator, content = part.partition(b"\r\n\r\n")
        if not head.startswith(b"\r\n") or not separator or len(head) > _PART_HEAD_BYTES_MAX:
            raise InvalidInputError("a part of the form is not well-formed")
        yield *_read_part_head(head[2:]), content


def _read_part_head(head: bytes) -> tuple[str, bool]:
    dispositions = []
    for line in head.split(b"\r\n"):
        match = _LINE.fullmatch(line)
        if match is None:
            raise InvalidInputError("a part of the form has a header that is not well-formed")
        header, value = match[1].lower(), match[2].strip(b" \t")
        if header == b"content-disposition":
            dispositions.append(value)
        elif header == b"content-transfer-encoding" and value.lower() not in _PLAIN_TRANSFERS:
            raise InvalidInputError("a part of the form is in a transfer encoding")
    if len(dispositions) != 1:
        raise InvalidInputError("a part of the form has no name")
    return _read_disposition(dispositions[0])


def _read_disposition(value: bytes) -> tuple[str, bool]:
    parameters: dict[bytes, bytes] = {}
    start = _DISPOSITION.match(value)
    position = start.end() if start else -1
    while 0 <= position < len(value):
        match = _PARAMETER.match(value, position)
        if match is None or match[1].lower() in parameters:
            position = -1
            break
        parameters[match[1].lower()] = match[2] if match[2] is not None else match[3]
        position = match.end()
    name = parameters.get(b"name")
    if position < 0 or name is None or b"\\" in name or b"name*" in parameters:
        raise InvalidInputError("a part of the form is not plainly named")
    return name.decode("utf-8", "replace"), any(key.startswith(b"filename") for key in parameters)
