"""Lists of models, narrowed to those that a key may use.

A key with `model:` entries cannot use the others, and a client that offers what the list has should offer no
more. Known are the lists of OpenAI (and so of most others), Anthropic, Gemini, Ollama and llama.cpp, and
Together's, which is a bare array.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec

from proxy.errors import InvalidInputError
from proxy.policy.content_encodings import decode_body, find_encoding_fault, read_encodings
from proxy.policy.permissions import Permissions, may_use_model

_LIST_PATHS = (b"/models", b"/api/tags")
_RESOURCE = "models/"
# What would bring something else than the whole list, as it is: a part of it, or word that it is as it was.
LIST_DROPPED = frozenset(
    (b"accept-encoding", b"range", b"if-range", b"if-none-match", b"if-match", b"if-modified-since")
)


def is_list_request(method: str, path: bytes) -> bool:
    """Tell whether a request asks for a list of models."""
    return method == "GET" and unquote_to_bytes(path).rstrip(b"/").endswith(_LIST_PATHS)


def narrow_models(body: bytes, permissions: Permissions) -> bytes | None:
    """Return the answer with only the models that a key may use, or None if it is no list of models.

    It is in no content encoding. What is left of it means what it did, and may be spelled otherwise.
    """
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return None
    if _is_list(answer, ("id",)):
        return msgspec.json.encode(_keep(answer, permissions))
    if not isinstance(answer, dict):
        return None
    lists = {
        name: answer[name]
        for name, keys in (("data", ("id",)), ("models", ("name", "model")))
        if _is_list(answer.get(name), keys)
    }
    if not lists:
        return None
    narrowed = answer | {name: _keep(entries, permissions) for name, entries in lists.items()}
    return msgspec.json.encode(_set_ends(narrowed))


def _is_list(value: Any, keys: tuple[str, ...]) -> bool:
    return isinstance(value, list) and all(
        isinstance(entry, dict) and any(isinstance(entry.get(key), str) for key in keys) for entry in value
    )


def _keep(entries: list[dict[str, Any]], permissions: Permissions) -> list[dict[str, Any]]:
    return [entry for entry in entries if any(may_use_model(permissions, name) for name in _names(entry))]


def _names(entry: dict[str, Any]) -> list[str]:
    names = [name for key in ("id", "name", "model") if isinstance(name := entry.get(key), str)]
    # Gemini's are resources, and their last part is what a request names.
    return names + [name.removeprefix(_RESOURCE) for name in names if name.startswith(_RESOURCE)]


def _set_ends(answer: dict[str, Any]) -> dict[str, Any]:
    """Have Anthropic's cursors name entries that are in the list; one that only leads on is kept."""
    entries = answer.get("data")
    if not isinstance(entries, list) or "last_id" not in answer:
        return answer
    if entries:
        return answer | {"first_id": entries[0]["id"], "last_id": entries[-1]["id"]}
    return answer if answer.get("has_more") else answer | {"first_id": None, "last_id": None}


def narrow_answer(
    body: bytes, encodings: list[bytes], permissions: Permissions, size_max: int
) -> bytes | None:
    """Do the same with an answer that may be compressed although nobody asked for that.

    `encodings` are the values of `Content-Encoding`; None for one that cannot be decoded.
    """
    names = read_encodings(encodings)
    if not names:
        return narrow_models(body, permissions)
    if find_encoding_fault(names) is not None:
        return None
    try:
        return narrow_models(decode_body(body, names[0], size_max), permissions)
    except InvalidInputError:
        return None
