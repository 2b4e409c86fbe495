"""`${NAME}`, `${NAME:-default}`, `${NAME:?message}` and `$$` in the values of a configuration file.

A pure function over text. What a variable holds is never put into an error, nor is the text around it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from proxy.errors import InvalidInputError

# `$$`, a whole reference, or a `${` that begins no such thing. A word after `:-` or `:?` holds no `}` and no
# reference of its own, so that the end of a reference is always plain to see.
_FORM = re.compile(r"\$(?:\$|\{([A-Za-z_][A-Za-z0-9_]*)(?::([-?])((?:[^}$]|\$\$|\$(?![{$]))*))?\}|\{)")


def has_references(text: str) -> bool:
    """Tell whether expansion would change the text, or refuse it."""
    return _FORM.search(text) is not None


def expand(text: str, environ: Mapping[str, str]) -> str:
    """Return the text with every form replaced; a `$` that begins none stays as it is.

    An empty variable counts as unset for `:-` and `:?`, as in a shell.
    """
    return _FORM.sub(lambda match: _replacement(match, environ), text)


def _replacement(match: re.Match[str], environ: Mapping[str, str]) -> str:
    name, operator, word = match.groups()
    if match[0] == "$$":
        return "$"
    if name is None:
        raise InvalidInputError(
            "'${' begins no ${NAME}, ${NAME:-default} or ${NAME:?message}; write $${ for itself"
        )
    if environ.get(name) or (operator is None and name in environ):
        return environ[name]
    word = (word or "").replace("$$", "$")
    if operator == "-":
        return word
    if word:
        raise InvalidInputError(f"{name}: {word}")
    state = "unset or empty" if operator else "not set"
    raise InvalidInputError(
        f"the environment variable {name} is {state}; ${{{name}:-text}} gives it a default"
    )
