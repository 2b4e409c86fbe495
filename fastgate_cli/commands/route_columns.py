"""From the options about a route to the columns that they change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from fastgate_cli.arguments import read_field, read_json
from fastgate_cli.commands.route_options import RouteOptions
from fastgate_cli.headers import KEEP, check_name, holds_keep, parse_header_match, parse_set_headers
from fastgate_cli.options import Completions, pick_completions
from proxy.errors import InvalidInputError

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
ANY_METHOD = "ANY"
TARGETS_MAX = 16
_RETRYABLE = range(400, 600)


def read_columns(options: RouteOptions, current: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns that the options change; `current` is the row as it is, or a new one's defaults."""
    columns = {
        column: read(value)
        for name, column, read in _COLUMNS
        if (value := getattr(options, name)) not in (None, [], ())
    }
    for name in ("description", "target_path"):
        if getattr(options, name) is not None:
            columns[name] = getattr(options, name)
    return columns | _read_target(options, current) | _read_schema(options)


def _read_target(options: RouteOptions, current: Mapping[str, Any]) -> dict[str, Any]:
    from proxy.policy.patterns import compile_pattern
    from proxy.policy.targets import parse_target

    if not options.to:
        return {}
    pattern = compile_pattern(current["match_path"] if options.match is None else options.match)
    strip = current["strip_path_prefix"] if options.strip_prefix is None else options.strip_prefix
    first = parse_target(options.to[0], target_path=options.target_path, strip_prefix=strip, pattern=pattern)
    others = [parse_target(url, pattern=pattern) for url in options.to[1:]]
    if any(other.path for other in others):
        raise InvalidInputError(
            "only the first --to has a path", hint="the others serve the same paths as the first"
        )
    origins = [target.origin for target in (first, *others)]
    if len(set(origins)) < len(origins) or len(origins) > TARGETS_MAX:
        raise InvalidInputError(
            "a backend is named twice, or there are too many", hint=f"at most {TARGETS_MAX}, all different"
        )
    return {
        "target_host": first.host,
        "target_path": first.path,
        "target_protocol": first.protocol,
        "targets": origins[1:],
    }


def _read_schema(options: RouteOptions) -> dict[str, Any]:
    from proxy.policy.body_schemas import build_schema

    if options.body and options.body_schema is not None:
        raise InvalidInputError("--body and --body-schema contradict each other", hint="give one of them")
    if options.body:
        return {"match_body_schema": build_schema(options.body)}
    if options.body_schema is None:
        return {}
    schema = read_json("--body-schema", options.body_schema)
    if not isinstance(schema, dict | bool):
        raise InvalidInputError("--body-schema is not a JSON Schema", hint="a schema is an object")
    return {"match_body_schema": schema}


def read_methods(texts: list[str]) -> str:
    """Return the methods of `--method` as the table has them: ANY, or names joined by commas."""
    names = [name.strip().upper() for text in texts for name in text.split(",")]
    if not names or ANY_METHOD in names:
        return ANY_METHOD
    unknown = [name for name in names if name not in METHODS]
    if unknown:
        raise InvalidInputError(
            f"{unknown[0]!r} is not a method that the gateway forwards", hint="methods: " + ", ".join(METHODS)
        )
    return ",".join(dict.fromkeys(names))


def read_statuses(texts: Iterable[str]) -> list[int]:
    """Return the statuses of `--retry-on`, in order: `429`, or `5xx` for all that begin with a 5."""
    found: set[int] = set()
    for text in texts:
        for word in text.split(","):
            if word.strip().lower() == "5xx":
                found.update(range(500, 600))
            elif word.strip().isdecimal() and int(word[:9]) in _RETRYABLE:
                found.add(int(word))
            else:
                raise InvalidInputError(f"{word!r} is not a status to retry after", hint="such as 429 or 5xx")
    return sorted(found)


def _read_name(name: str) -> str:
    if not name:
        raise InvalidInputError("--name is empty", hint="leave it out, or give it a value")
    return name


def _read_body_fields(texts: Iterable[str]) -> dict[str, Any]:
    pairs = [read_field("--set-body", text) for text in texts]
    if len(dict(pairs)) < len(pairs):
        raise InvalidInputError("a body field is set twice", hint="give each name once")
    for name, value in pairs:
        if holds_keep(value):
            # A document with this text could not be applied elsewhere: it would ask for what is there.
            raise InvalidInputError(
                f"a body field cannot be set to {KEEP}, as {name!r} is",
                hint="in documents it stands for a secret that the database has; write the value itself",
            )
    return dict(pairs)


def read_authorities(path: Path) -> str:
    """Return the whole path of a PEM file, once it has been seen that there are certificates in it."""
    import ssl

    try:
        ssl.create_default_context(cafile=path)
    except (OSError, ValueError):  # ssl.SSLError is an OSError
        raise InvalidInputError(
            f"{str(path)!r} has no certificates that can be read", hint="a PEM file"
        ) from None
    return str(path.resolve())


_COLUMNS: tuple[tuple[str, str, Callable[[Any], Any]], ...] = (
    ("match", "match_path", str),
    ("name", "route_name", _read_name),
    ("method", "match_method", read_methods),
    ("header", "match_headers", parse_header_match),
    ("strip_prefix", "strip_path_prefix", bool),
    ("set_header", "add_headers", parse_set_headers),
    ("set_body", "add_body_fields", _read_body_fields),
    ("remove_header", "remove_headers", lambda names: [check_name(name.strip(), name) for name in names]),
    ("timeout", "timeout", int),
    ("total_timeout", "total_timeout", int),
    ("balance", "balance", str),
    ("retries", "retry_count", int),
    ("retry_on", "retry_statuses", read_statuses),
    ("http2", "http_version", lambda wanted: "2" if wanted else "1.1"),
    ("tls_ca", "tls_ca", read_authorities),
    ("tls_insecure", "tls_verify", lambda insecure: not insecure),
    ("on_client_abort", "on_client_abort", str),
    ("pass_credential", "pass_credential", bool),
    ("encoded_slash", "encoded_slash", bool),
    ("keep_redirects", "keep_redirects", bool),
    ("priority", "priority", int),
    ("disabled", "is_active", lambda disabled: not disabled),
)
# What `--unset` puts in the place of what an option has set.
_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "description": {"description": ""},
    "method": {"match_method": ANY_METHOD},
    "header": {"match_headers": {}},
    "body": {"match_body_schema": None},
    "body-schema": {"match_body_schema": None},
    "target-path": {"target_path": ""},
    "set-header": {"add_headers": {}},
    "set-body": {"add_body_fields": {}},
    "remove-header": {"remove_headers": []},
    "timeout": {"timeout": None},
    "total-timeout": {"total_timeout": None},
    "retry-on": {"retry_statuses": []},
    "tls-ca": {"tls_ca": None},
}


def complete_unset(incomplete: str) -> Completions:
    """Return the names for `--unset` that begin as typed."""
    return pick_completions(((name, f"as if --{name} were not given") for name in _DEFAULTS), incomplete)


def read_unset(names: Iterable[str]) -> dict[str, Any]:
    """Return the columns that go back to what they are in a plain route, from the names of their options."""
    columns: dict[str, Any] = {}
    for name in names:
        bare = name.removeprefix("--")
        if bare not in _DEFAULTS:
            raise InvalidInputError(f"{name!r} cannot be unset", hint="one of " + ", ".join(_DEFAULTS))
        columns |= _DEFAULTS[bare]
    return columns


def check_columns(columns: Mapping[str, Any], *, retries_max: int) -> None:
    """Refuse columns of one route that contradict each other or the configuration."""
    for _, error in find_contradictions(columns, retries_max=retries_max):
        raise error


def find_contradictions(
    columns: Mapping[str, Any], *, retries_max: int
) -> Iterator[tuple[str, InvalidInputError]]:
    """Yield what in the columns of one route cannot be, and the column that is to blame for it."""
    from proxy.policy.routing import compile_route
    from proxy.store.routes import build_route, find_problem

    if problem := find_problem(columns):
        yield "match_path", InvalidInputError(f"this route cannot be used: {problem}")
        return
    if columns["retry_count"] > retries_max:
        yield (
            "retry_count",
            InvalidInputError(
                f"{columns['retry_count']} retries are more than proxy.max_retries allows",
                hint=f"at most {retries_max}",
            ),
        )
    origins = (f"{columns['target_protocol']}://", *(columns["targets"] or ()))
    has_tls_rules = columns["tls_ca"] or columns["tls_verify"] is False
    if has_tls_rules and not any(origin.startswith("https://") for origin in origins):
        yield (
            "tls_ca" if columns["tls_ca"] else "tls_verify",
            InvalidInputError(
                "the target has no TLS to check", hint="--tls-ca and --tls-insecure need https"
            ),
        )
    try:
        compile_route(build_route(columns))
    except InvalidInputError as error:
        yield "match_path", error
