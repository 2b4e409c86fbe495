"""What may be shown of a backend's answer: its beginning as printable text, without the secrets it was sent.

A backend may say back what it was sent, whole or cut off at the end of what was read; both are masked.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from urllib.parse import quote

from proxy.audit.masking.names import MASK
from proxy.audit.masking.secrets import find_field_secrets
from proxy.policy.decide import Forward

SECRET_LENGTH_MIN = 4  # what is shorter would blot out text that it has nothing to do with
PREVIEW_CHARACTERS_MAX = 600
_MASK = MASK.decode()
_PRINTED_CONTROLS = "\n\t"
_REPLACEMENT = "\ufffd"
_UNREADABLE_SHARE_MAX = 0.1


def list_sent_secrets(forward: Forward, header_names: frozenset[bytes]) -> list[str]:
    """Return the values of these headers, and of body fields that are named like credentials."""
    texts = [value.decode("latin-1") for name, value in forward.headers if name in header_names]
    texts += find_field_secrets(forward.compiled.route)
    # A scheme such as `Bearer` keeps nothing unknown.
    return [text for value in texts for text in (value, value.rpartition(" ")[2])]


class Disclosure:
    """Masks the given secrets, in the spellings that an answer may have of them."""

    def __init__(self, secrets: Iterable[str]) -> None:
        spellings = {spelling for secret in secrets for spelling in _spell(secret)}
        # The longest first: a secret may hold another one.
        self._secrets = sorted(
            (text for text in spellings if len(text) >= SECRET_LENGTH_MIN), key=len, reverse=True
        )

    def mask(self, text: str) -> str:
        """Return a text with every secret in it replaced, and the beginning of one at its end."""
        for secret in self._secrets:
            text = text.replace(secret, _MASK)
        for secret in self._secrets:
            for length in range(min(len(secret) - 1, len(text)), SECRET_LENGTH_MIN - 1, -1):
                if text.endswith(secret[:length]):
                    text = text[:-length] + _MASK
                    break
        return text

    def preview(self, body: bytes) -> str:
        """Return the beginning of a body as text; nothing if it is no text that a person could read."""
        text = self.mask(body.decode("utf-8", "replace"))
        shown = text[:PREVIEW_CHARACTERS_MAX]
        unreadable = sum(not _is_readable(character) for character in shown)
        if unreadable > len(shown) * _UNREADABLE_SHARE_MAX:
            return ""
        return shown + "…" if len(shown) < len(text) else shown


def _is_readable(character: str) -> bool:
    return character in _PRINTED_CONTROLS or (character.isprintable() and character != _REPLACEMENT)


def _spell(secret: str) -> set[str]:
    return {secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], quote(secret, "")}
