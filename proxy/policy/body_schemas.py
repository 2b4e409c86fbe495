"""Body conditions: the JSON Schema that a body has to fit for a route to match.

A schema is compiled once, when the route table is built. It can never cause I/O: a reference to anything but
its own parts, or to the published drafts, is an error. Formats are not checked. Its regular expressions run
in time linear to the text and within a bounded size, so what a client sends cannot stall a worker.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from proxy.errors import InvalidInputError
from proxy.policy.json_text import dump_json, parse_json

SCHEMA_BYTES_MAX = 64 * 1024
_PATTERN_BYTES_MAX = 256 * 1024  # of one compiled regular expression
_REASON_LENGTH_MAX = 200
_HINT = 'a body schema is a JSON Schema, such as {"properties": {"model": {"const": "qwen3"}}}'

_NAMED_BY_KEY = ("properties", "dependentRequired", "dependentSchemas", "dependencies")
Schema = Mapping[str, Any] | bool


class Validator(Protocol):
    """What is used of a compiled schema."""

    def is_valid(self, instance: Any) -> bool:
        """Tell whether a value fits."""

    def iter_errors(self, instance: Any) -> Iterable[Any]:
        """Yield what keeps a value from fitting."""


def compile_schema(schema: Schema) -> Validator:
    """Return the compiled schema, or raise `InvalidInputError` naming the place of what is wrong with it."""
    import jsonschema_rs  # slow to import, and few routes have a schema

    _check_size(schema)
    try:
        return jsonschema_rs.validator_for(
            schema,  # type: ignore[arg-type]
            validate_formats=False,
            retriever=_refuse_reference,
            pattern_options=jsonschema_rs.RegexOptions(size_limit=_PATTERN_BYTES_MAX),
        )
    except jsonschema_rs.ValidationError as error:
        place = "".join(f"/{step}" for step in error.instance_path) or "/"
        raise InvalidInputError(
            f"the body schema is not valid at {place}: {_shorten(error.message)}", hint=_HINT
        ) from None
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"the body schema is not valid: {_shorten(str(error))}", hint=_HINT) from None


def collect_names(schema: Schema) -> frozenset[str]:
    """Return the names of members that a schema looks at, wherever in a body they are."""
    names: set[str] = set()
    parts: list[Any] = [schema]
    while parts:
        part = parts.pop()
        if isinstance(part, Mapping):
            for keyword, value in part.items():
                if keyword in _NAMED_BY_KEY and isinstance(value, Mapping):
                    names.update(value)
                elif keyword == "required" and isinstance(value, list):
                    names.update(name for name in value if isinstance(name, str))
                parts.append(value)
        elif isinstance(part, list):
            parts += part
    return frozenset(names)


def has_other_spelling(value: Any, names: frozenset[str]) -> bool:
    """Tell whether a member has one of these names in another case, where the names lead to.

    Go's encoding/json takes such a member for the one that is meant, others pass over it.
    """
    folded = {name.casefold() for name in names}
    parts = [value]
    while parts:
        part = parts.pop()
        if type(part) is list:
            parts += [child for child in part if type(child) is dict or type(child) is list]
        elif type(part) is dict:
            for name, child in part.items():
                if name in names:
                    parts.append(child)
                elif name.casefold() in folded:
                    return True
    return False


def explain_misfit(validator: Validator, value: Any) -> str:
    """Return the first reason why a value does not fit, for the route's owner: it quotes the value."""
    for error in validator.iter_errors(value):
        place = ".".join(map(str, error.instance_path)) or "the body"
        return f"{place}: {_shorten(error.message)}"
    return "it does not fit the schema"


def build_schema(texts: Iterable[str]) -> dict[str, Any]:
    """Return the JSON Schema that `FIELD=VALUE` conditions are short for; all of them have to hold.

    Dots in FIELD reach into objects. VALUE is a string; where it can also be read as JSON, as `true`, `1` or
    `null`, either is accepted.
    """
    root: dict[str, Any] = {"type": "object"}
    for text in texts:
        field, equals, value = text.partition("=")
        path = field.strip().split(".")
        if not equals or not all(path):
            raise InvalidInputError(
                f"{text!r} is not a body condition", hint="write it as --body model=qwen3"
            )
        here = root
        for name in path:
            here.setdefault("type", "object")
            if "enum" in here:
                raise _contradict(field)
            required = here.setdefault("required", [])
            if name not in required:
                required.append(name)
            here = here.setdefault("properties", {}).setdefault(name, {})
        if here:
            raise _contradict(field)
        here["enum"] = _read_value(value)
    return root


def _contradict(field: str) -> InvalidInputError:
    return InvalidInputError(
        f"the body field {field!r} has two conditions", hint="give each once; --body-schema can say more"
    )


def _read_value(text: str) -> list[Any]:
    try:
        value = parse_json(text.encode())
    except (InvalidInputError, UnicodeEncodeError):
        return [text]
    return [text, value]


def _check_size(schema: Schema) -> None:
    try:
        size = len(dump_json(schema))
    except (TypeError, ValueError, RecursionError):
        raise InvalidInputError("the body schema is not JSON", hint=_HINT) from None
    if size > SCHEMA_BYTES_MAX:
        raise InvalidInputError(f"the body schema is larger than {SCHEMA_BYTES_MAX} bytes", hint=_HINT)


def _refuse_reference(_: str) -> Any:
    raise ValueError("a schema refers to its own parts only")


def _shorten(message: str) -> str:
    # Of a reference the library tells its own way to it, and ours at the end, with the name of an exception.
    line = message.partition("\n")[0].rpartition("ValueError: ")[2]
    return line if len(line) <= _REASON_LENGTH_MAX else line[:_REASON_LENGTH_MAX] + "…"
