"""Bodies as a row holds them: readable text, bounded; what is no text is said to be none.

An event stream of a known kind becomes the one response that its events make up. A secret that was spread
over events is masked once they are merged.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass, field

from proxy.audit.masking.mask import SecretMask
from proxy.audit.streams.merging import merge_stream


@dataclass(frozen=True, slots=True)
class BodyWriter:
    """Writes bodies of at most `bytes_max`, as UTF-8, besides the mark that says what was cut."""

    bytes_max: int = 1 << 30
    merges_streams: bool = True
    mask: SecretMask = field(default_factory=SecretMask)

    def write(self, body: bytes, size: int, *, is_cut: bool, is_broken: bool) -> str:
        """Return the text of what was kept of a body of `size` bytes.

        We have kept only the beginning of one that `is_cut`; one that `is_broken` did not come to its end.
        """
        text = _decode(body, is_whole=not (is_cut or is_broken))
        if text is None:
            return f"[binary, {size} bytes]"
        return f"{text}[cut at {len(body)} of {size} bytes]" if is_cut else text

    def write_stream(
        self, body: bytes, size: int, content_type: str, *, is_cut: bool, is_broken: bool
    ) -> str:
        """Return the response that a stream's events make up, or else its text."""
        merged = None
        if self.merges_streams:
            merged = merge_stream(content_type.encode(), body, is_cut=is_broken or is_cut)
        if merged is None:
            kept = body[: self.bytes_max]
            return self.write(kept, size, is_cut=is_cut or len(kept) < len(body), is_broken=is_broken)
        data = self.mask.apply(merged.encode())
        kept = data[: self.bytes_max]
        return self.write(kept, len(data), is_cut=len(kept) < len(data), is_broken=False)


def _decode(body: bytes, *, is_whole: bool) -> str | None:
    try:
        # A cut, ours or the network's, may go through the middle of a character: that is not yet a sign
        # of binary data.
        text = codecs.getincrementaldecoder("utf-8")().decode(body, final=is_whole)
    except UnicodeDecodeError:
        return None
    return None if "\x00" in text else text
