"""Heads that have been decided on, remembered by their exact bytes.

Clients send the same head again and again, but for the digits of Content-Length. One that comes again from
the same address is not parsed, decided on, transformed or masked once more: it is looked up. What is
remembered holds for the snapshot and the mask that it was made with, and until its key expires. Only heads
whose meaning is in their bytes alone are kept: well-formed HTTP/1.1 that leaves the connection open, with one
length or none, no coding, no expectation and no offer to change the protocol.
"""

from __future__ import annotations

from typing import NamedTuple

from proxy.audit.masking.mask import SecretMask
from proxy.audit.record import HeadTexts
from proxy.policy.decide import Forward, Snapshot
from proxy.policy.forwarded import Forwarded
from proxy.policy.model import ApiKey, RequestHead
from proxy.recognised import LENGTH, HeadKey, Recognised
from proxy.upstream.request import RequestTemplate

_NEVER_KEPT = frozenset((b"expect", b"upgrade", b"transfer-encoding"))


class RawHead(NamedTuple):
    """The bytes that a head came in, where it ends, and what was in force then: it is decided on no earlier.

    The snapshot is replaced by another thread, at any moment. What is remembered holds for the one that was
    there before anything of the head was looked at, so that no decision is ever kept for a newer one.
    """

    data: bytes
    end: int
    snapshot: Snapshot
    mask: SecretMask


class KnownHead:
    """What is known of a head. Without `forward` its body is needed to decide."""

    __slots__ = (
        "expires_us",
        "forward",
        "forwarded",
        "has_length",
        "head",
        "key",
        "mask",
        "record_head",
        "snapshot",
        "template",
        "texts",
    )

    def __init__(
        self,
        head: RequestHead,
        key: ApiKey,
        forward: Forward | None,
        forwarded: Forwarded | None,
        template: RequestTemplate | None,
        texts: HeadTexts,
        record_head: bytes | None,
        snapshot: Snapshot,
        mask: SecretMask,
    ) -> None:
        self.head = head
        self.key = key
        self.forward = forward
        self.forwarded = forwarded
        self.template = template
        self.texts = texts
        self.record_head = record_head
        self.snapshot = snapshot
        self.mask = mask
        self.expires_us = key.expires_at_us
        self.has_length = any(name == b"content-length" for name, _ in head.headers)


class Heads(Recognised[KnownHead]):
    """The heads of one worker, by the address that they come from.

    `recognised` and `decided` count the requests of each kind.
    """

    def __init__(self) -> None:
        super().__init__()
        self.recognised = 0
        self.decided = 0

    def recognise(
        self, peer: str, data: bytes, end: int, snapshot: Snapshot, mask: SecretMask, now_us: int
    ) -> tuple[KnownHead, int, int] | None:
        """Return what is known of a head and holds now, its body's length, and the time that it was
        asked at.
        """
        match = LENGTH.search(data, 0, end + 2)
        if match is None:
            known, length = self._known.get((peer, data[:end])), 0
        else:
            start, stop = match.span(1)
            known, length = self._known.get((peer, data[:start], data[stop:end])), int(match[1])
        if known is None:
            return None
        if known.snapshot is not snapshot or known.mask is not mask:
            self.clear()
            return None
        if known.expires_us is not None and known.expires_us <= now_us:
            return None
        self.recognised += 1
        return known, length, now_us

    def choose_key(self, raw: RawHead, head: RequestHead) -> HeadKey | None:
        """Return under what a head that was decided on is to be remembered, or None if it is not,
        or not yet.
        """
        names = [name for name, _ in head.headers]
        if not _NEVER_KEPT.isdisjoint(names):
            return None
        return self.wants(head.peer, raw.data, raw.end, has_length=b"content-length" in names)
