"""The shipped `fastgate.yaml.example`, which `init` and `quickstart` write out."""

from __future__ import annotations

from pathlib import Path

from proxy.errors import FastGateError

_NAME = "fastgate.yaml.example"
_PACKAGE = Path(__file__).parent.parent


def example_text() -> str:
    """Return the example: inside the package of an installed wheel, at the top level of a checkout."""
    for folder in (_PACKAGE, _PACKAGE.parent):
        try:
            return (folder / _NAME).read_text(encoding="utf-8")
        except FileNotFoundError:
            continue
    raise FastGateError(f"this installation lacks its {_NAME}", hint="install fastgate again")
