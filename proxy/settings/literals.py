"""Which settings of a configuration file hold a secret as it is, rather than the name of a variable."""

from __future__ import annotations

import re
from pathlib import Path

from proxy.errors import ConfigurationError, InvalidInputError
from proxy.settings.document import FILE_BYTES_MAX, Scalar, read_document
from proxy.settings.expansion import expand
from proxy.settings.model import SECTIONS, section_keys

_URL = re.compile(r"[a-z][a-z0-9+]*://", re.IGNORECASE)
_PASSWORD = re.compile(r"://[^/@]*:[^/@]+@")


def find_literal_secrets(file: Path) -> list[str]:
    """Return the names of those settings ("security.admin_token"); none for a file that cannot be read."""
    known = {section: [name for name, _, _ in section_keys(section)] for section in SECTIONS}
    try:
        with file.open("rb") as stream:
            document = read_document(stream.read(FILE_BYTES_MAX), str(file), known)
    except (OSError, ConfigurationError):
        return []
    secret = {
        f"{section}.{name}"
        for section in SECTIONS
        for name, kind, _ in section_keys(section)
        if not kind.is_quotable
    }
    return [
        name
        for name, entry in document.entries.items()
        if any(_is_secret(scalar, is_named=name in secret) for scalar in entry.items)
    ]


def _is_secret(scalar: Scalar, *, is_named: bool) -> bool:
    try:
        text = expand(scalar.text, {})
    except InvalidInputError:
        return False  # it is the variable that holds the secret
    if _PASSWORD.search(text):
        return True
    return is_named and bool(text) and not _URL.match(text)
