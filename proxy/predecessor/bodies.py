"""Recorded bodies of the predecessor. It kept some as Python spells bytes (`b'...'`), and cut long ones.

Here they become what our own recorder would have written of the same bytes.
"""

from __future__ import annotations

import ast
import codecs
import re

CUT_MARK = "...[TRUNCATED]"
_SPELLED_BYTES = re.compile(r"""b(['"])""")
# A cut may have gone through an escape: `\`, `\x`, `\x4`.
_TORN_ESCAPE = re.compile(r"(?<!\\)((?:\\\\)*)\\(?:x[0-9a-fA-F]?)?\Z")


def convert_body(text: str, size: int | None) -> str:
    """Return a recorded body as our rows hold one; `size` is how many bytes passed, if that is known."""
    is_cut = text.endswith(CUT_MARK)
    kept = text.removesuffix(CUT_MARK)
    raw = read_spelled_bytes(kept, is_cut=is_cut)
    if raw is None:
        return _mark_cut(kept, len(kept.encode()), size) if is_cut else text
    try:
        # A cut may go through the middle of a character: that is not yet a sign of binary data.
        decoded = codecs.getincrementaldecoder("utf-8")().decode(raw, final=not is_cut)
    except UnicodeDecodeError:
        decoded = "\x00"
    if "\x00" in decoded:
        return f"[binary, {len(raw) if size is None else size} bytes]"
    return _mark_cut(decoded, len(raw), size) if is_cut else decoded


def read_spelled_bytes(text: str, *, is_cut: bool = False) -> bytes | None:
    """Return the bytes that a text spells as Python does; None if it spells none."""
    match = _SPELLED_BYTES.match(text)
    if match is None:
        return None
    if is_cut:
        text = _TORN_ESCAPE.sub(r"\1", text) + match[1]
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return value if isinstance(value, bytes) else None


def _mark_cut(text: str, kept: int, size: int | None) -> str:
    whole = f" of {size}" if size is not None and size > kept else ""
    return f"{text}[cut at {kept}{whole} bytes]"
