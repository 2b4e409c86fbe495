"""Permissions: which routes a key may use.

An empty list allows every route. Otherwise one entry has to allow the request: `*`, a path pattern with or
without a method before it (`POST /v1/chat/*`), or `route:GLOB` on a route's id or name. Entries `model:GLOB`
narrow what the others allow, or all routes if there are no others, to bodies that name such a model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase, translate
from typing import Any

from proxy.errors import InvalidInputError
from proxy.policy.bodies import Body
from proxy.policy.model import METHODS, RequestHead, Route
from proxy.policy.patterns import compile_pattern

Permission = Callable[[RequestHead, Route], bool]
_ROUTE = "route:"
_MODEL = "model:"
_FIELD = "model"
_SHOWN_MAX = 10  # models that a message names
_NAME_SHOWN_MAX = 60  # characters of each
_ANY_METHOD = "ANY"
_HINT = "write it as '/v1/*', 'POST /v1/chat/*', 'route:NAME', 'model:NAME' or '*'"


@dataclass(frozen=True, slots=True)
class Permissions:
    """The entries of a key, compiled. No rules: every route; no models: every body.

    `globs` are the models as they are written.
    """

    rules: tuple[Permission, ...] = ()
    models: tuple[Callable[[str], object], ...] = ()
    globs: tuple[str, ...] = ()


EVERYTHING = Permissions()


def compile_permissions(entries: Sequence[str]) -> Permissions:
    """Return the entries compiled; `InvalidInputError` for an entry that means nothing."""
    models = [entry for entry in entries if entry.startswith(_MODEL)]
    return Permissions(
        rules=tuple(_compile(entry) for entry in entries if entry not in models),
        models=tuple(_compile_model(entry) for entry in models),
        globs=tuple(entry.removeprefix(_MODEL) for entry in models),
    )


def check_methods(entries: Iterable[str]) -> None:
    """Refuse a method that no request can have: such an entry allows nothing, and no typo may kill a key.

    Where permissions are read that somebody has stored, this is not asked. Raises `InvalidInputError`.
    """
    for entry in entries:
        method = "" if entry.startswith((_ROUTE, _MODEL)) else entry.rpartition(" ")[0].strip()
        if method and method.upper() not in (_ANY_METHOD, *METHODS):
            raise InvalidInputError(
                f"{method.upper()!r} is not a method that the gateway forwards",
                hint="methods: " + ", ".join(sorted(METHODS)),
            )


def find_restricted(entries: Sequence[str]) -> set[str]:
    """Return what the entries restrict: routes, models, both or nothing. What they do not is all allowed."""
    return {"model" if entry.startswith(_MODEL) else "route" for entry in entries}


def change_permissions(current: Sequence[str], added: Sequence[str], removed: Sequence[str]) -> list[str]:
    """Return a key's entries after some were added and some removed; to remove one never allows more.

    Raises `InvalidInputError` if one to remove is not there, or is the last that restricts routes or models.
    """
    if missing := [entry for entry in removed if entry not in current]:
        hint = f"it has {', '.join(current)}" if current else "it has none, and may use every route"
        raise InvalidInputError(f"there is no permission {missing[0]!r} to remove", hint=hint)
    after = [entry for entry in dict.fromkeys((*current, *added)) if entry not in removed]
    if freed := find_restricted(current) - find_restricted(after):
        raise InvalidInputError(
            f"without {removed[-1]!r} the key might use every {min(freed)}",
            hint="add another permission, replace all of them, or disable the key",
        )
    return after


def is_permitted(permissions: Permissions, head: RequestHead, route: Route) -> bool:
    """Tell whether a key with these permissions may send this request to this route."""
    return not permissions.rules or any(permits(head, route) for permits in permissions.rules)


def is_body_permitted(permissions: Permissions, body: Body) -> bool:
    """Tell whether the model that a body names is one that the key may use; an absent body always is.

    Raises what `find_model_fault` does.
    """
    return find_model_fault(permissions, body) is None


def may_use_model(permissions: Permissions, model: str) -> bool:
    """Tell whether a key with these permissions may use a model."""
    return not permissions.models or any(matches(model) for matches in permissions.models)


def find_model_fault(permissions: Permissions, body: Body) -> str | None:
    """Return what a client is told whose key may not use the model that its body names, or None if it may.

    A body that cannot name a model, such as an image, names none that the key may use: not every backend
    looks at a content type, and any client could state one. Raises `BodyUnreadError` if the body has to be
    read first, `InvalidInputError` if it is neither JSON nor a form.
    """
    if not permissions.models or body.is_absent:
        return None
    model: object
    if body.is_form:
        model = body.read_form_field(_FIELD)
    elif body.is_other_than_json:
        kind = body.media_type.decode()
        return f"the API key is for some models only, and a body of type {kind} names none" + _list(
            permissions
        )
    else:
        model = _find_model(body.parse())
    if not isinstance(model, str):
        return f"the API key is for some models only: the body has to name one, once, as {_FIELD}" + _list(
            permissions
        )
    if not may_use_model(permissions, model):
        return f"the API key does not permit the model {_spell(model)}" + _list(permissions)
    return None


def _find_model(value: Any) -> object:
    # Some backends (Go's encoding/json) take `Model` for `model`: two spellings would be two answers.
    names = [name for name in value if name.casefold() == _FIELD] if isinstance(value, dict) else []
    return value[_FIELD] if names == [_FIELD] else None


def _list(permissions: Permissions) -> str:
    shown = ", ".join(map(_spell_glob, permissions.globs[:_SHOWN_MAX]))
    more = len(permissions.globs) - _SHOWN_MAX
    return f"; allowed: {shown}" + (f" and {more} more" if more > 0 else "")


def _spell(text: str) -> str:
    """Return a text as nobody can be misled by it: ASCII, in quotes, cut if it is long."""
    return ascii(text if len(text) <= _NAME_SHOWN_MAX else text[:_NAME_SHOWN_MAX] + "...")


def _spell_glob(glob: str) -> str:
    return _spell(glob)[1:-1]


def _compile_model(entry: str) -> Callable[[str], object]:
    glob = entry.removeprefix(_MODEL)
    if not glob:
        raise InvalidInputError(f"{entry!r} is not a permission", hint=_HINT)
    return re.compile(translate(glob)).match


def _compile(entry: str) -> Permission:
    if entry == "*":
        return lambda _head, _route: True
    if entry.startswith(_ROUTE) and len(entry) > len(_ROUTE):
        return _route_permission(entry.removeprefix(_ROUTE))
    method, _, path = entry.rpartition(" ")
    if not path.startswith("/") or not (method == "" or method.strip().isalpha()):
        raise InvalidInputError(f"{entry!r} is not a permission", hint=_HINT)
    return _path_permission(method.strip().upper(), path)


def _route_permission(glob: str) -> Permission:
    return lambda _head, route: fnmatchcase(route.route_id, glob) or fnmatchcase(route.route_name, glob)


def _path_permission(method: str, path: str) -> Permission:
    match = compile_pattern(path).match
    return lambda head, _route: (method in ("", _ANY_METHOD, head.method)) and match(head.path) is not None
