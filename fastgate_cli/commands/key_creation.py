"""`fastgate keys create`: the one command that ever has a secret, and prints it once."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Annotated, Any

import typer

from fastgate_cli.columns import Column, format_day, format_list, format_minute, style_quiet, style_status
from fastgate_cli.context import Invocation, invocation_of
from fastgate_cli.options import DryRunOption, FieldsOption, JsonOption, OutputOption, note_dry_run
from fastgate_cli.output import OutputOptions, print_note, print_object
from proxy.clock import parse_moment
from proxy.errors import InvalidInputError

COLUMNS = (
    Column("key_id", "key"),
    Column("key_hint", "hint"),
    Column("source_path", "source", elastic=True),
    Column("status", style=style_status),
    Column("permissions", shown="wide", text=format_list, elastic=True),
    Column("rate_limit", "rpm", shown="wide", justify="right"),
    Column("rate_burst", "burst", shown="wide", justify="right"),
    Column("created_at", "created", shown="wide", text=format_minute, style=style_quiet),
    Column("expires_at", "expires", text=format_day),
    Column("is_active", shown="data"),
    Column("usage_count", "used", justify="right"),
    Column("last_used_at", "last used", shown="wide", text=format_minute),
)
_CREATED_COLUMNS = (COLUMNS[0], Column("key"), *COLUMNS[1:])
_RATE_LIMIT_MAX = 1_000_000
_SECRET_LENGTH_MAX = 512


def create_key(
    ctx: typer.Context,
    source: Annotated[
        str,
        typer.Option(
            "--source",
            metavar="NAME",
            show_default=False,
            help="Who or what uses the key; 'default' if not given.",
        ),
    ] = "default",
    permission: Annotated[
        list[str] | None,
        typer.Option(
            "--permission",
            metavar="P",
            help="What the key may do: '/v1/*', 'POST /v1/chat/*', route:NAME. Repeatable; none is all.",
        ),
    ] = None,
    rate_limit: Annotated[
        int | None,
        typer.Option(
            "--rate-limit",
            metavar="RPM",
            min=0,
            max=_RATE_LIMIT_MAX,
            help="Requests per minute; 0 is no limit.",
        ),
    ] = None,
    rate_burst: Annotated[
        int | None,
        typer.Option(
            "--burst",
            metavar="N",
            min=0,
            max=_RATE_LIMIT_MAX,
            help="Requests an idle key may send at once; 0 is a minute's allowance.",
        ),
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(
            "--expires", metavar="WHEN", help="90d, never, or a time; default from the configuration."
        ),
    ] = None,
    value_stdin: Annotated[
        bool, typer.Option("--value-stdin", help="Read the key from stdin instead of making one up.")
    ] = False,
    dry_run: DryRunOption = False,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """Create a key. Its secret is shown this once and kept nowhere.

    Examples:
      fastgate keys create
      fastgate keys create --source mobile-app --permission '/v1/*' --expires 90d
      fastgate keys create --source batch --rate-limit 600 --burst 20
      KEY=$(fastgate keys create --source ci)
    """
    from proxy.store.keys import create_key

    invocation = invocation_of(ctx)
    options = invocation.read_output(output, as_json=as_json, fields=fields, columns=_CREATED_COLUMNS)
    expires_at = _read_expiry(expires, invocation)
    # Before the database is opened: nobody shall wait for somebody who types.
    value = _read_secret() if value_stdin else None
    with invocation.writing(dry_run=dry_run) as database:
        row, secret = create_key(
            database,
            key_prefix=invocation.settings.security.key_prefix,
            source=source,
            permissions=tuple(permission or ()),
            rate_limit=rate_limit,
            rate_burst=rate_burst,
            expires_at=expires_at,
            value=value,
            now=invocation.now,
        )
    if dry_run:
        # A secret that will never work is better not shown.
        print_object(row, COLUMNS, options)
        return note_dry_run(True)
    return _print_created(row, secret, options)


def _read_expiry(text: str | None, invocation: Invocation) -> datetime | None:
    if text == "never":
        return None
    days = invocation.settings.security.default_expiry_days
    if text is None and days == 0:
        return None
    zone = invocation.settings.app.timezone
    moment = parse_moment(
        text if text is not None else f"{days}d", now=invocation.now, zone=zone, future=True
    )
    if moment <= invocation.now:
        raise InvalidInputError(
            f"the key would have expired already: {text!r}", hint="write it as 90d, never or 2030-12-31"
        )
    return moment


def _read_secret() -> str:
    if sys.stdin.isatty():
        from getpass import getpass

        return getpass("key: ")
    raw = sys.stdin.buffer.read(_SECRET_LENGTH_MAX + 3)
    try:
        return raw.decode("ascii").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise InvalidInputError(
            "the key on stdin is not ASCII", hint="a key is 8 to 512 printable characters, without spaces"
        ) from None


def _print_created(row: dict[str, Any], secret: str, options: OutputOptions) -> None:
    if options.is_drawn and not options.fields:
        from fastgate_cli.drawing import draw_secret

        expires = format_minute(row["expires_at"], options.zone) if row["expires_at"] else "never"
        facts = {"key": row["key_id"], "source": row["source_path"], "expires": expires}
        return draw_secret("new API key", secret, facts, "Shown once and kept nowhere: copy it now.")
    if options.format is None and not options.fields:
        print(secret, flush=True)  # noqa: T201
        return None
    print_object({**row, "key": secret}, _CREATED_COLUMNS, options)
    if options.chosen == "id" or (options.fields and "key" not in options.fields):
        print_note("note: the secret was not asked for, and cannot be shown again")
    return None
