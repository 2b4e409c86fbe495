"""`fastgate keys create`: it makes a secret, and prints it once."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer

from fastgate_cli.columns import format_minute
from fastgate_cli.commands.key_columns import SECRET_COLUMNS
from fastgate_cli.commands.key_options import ValueOption, read_expiry, read_secret
from fastgate_cli.commands.key_secrets import print_secret, print_unwritten
from fastgate_cli.context import Invocation, invocation_of
from fastgate_cli.options import DryRunOption, FieldsOption, JsonOption, OutputOption, complete_sources
from proxy.settings.model import REQUESTS_MAX


def create_key(
    ctx: typer.Context,
    source: Annotated[
        str,
        typer.Option(
            "--source",
            metavar="NAME",
            show_default=False,
            help="Who or what uses the key; 'default' if not given.",
            autocompletion=complete_sources,
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
            max=REQUESTS_MAX,
            help="Requests per minute; 0 is no limit.",
        ),
    ] = None,
    rate_burst: Annotated[
        int | None,
        typer.Option(
            "--burst",
            metavar="N",
            min=0,
            max=REQUESTS_MAX,
            help="Requests an idle key may send at once; 0 is a minute's allowance.",
        ),
    ] = None,
    expires: Annotated[
        str | None,
        typer.Option(
            "--expires", metavar="WHEN", help="90d, never, or a time; default from the configuration."
        ),
    ] = None,
    value_stdin: ValueOption = False,
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
    options = invocation.read_output(output, as_json=as_json, fields=fields, columns=SECRET_COLUMNS)
    expires_at = _read_expiry(expires, invocation)
    # Before the database is opened: nobody shall wait for somebody who types.
    value = read_secret() if value_stdin else None
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
        return print_unwritten(row, options)
    expires_text = format_minute(row["expires_at"], options.zone) if row["expires_at"] else "never"
    facts = {"key": row["key_id"], "source": row["source_path"], "expires": expires_text}
    return print_secret("new API key", row, secret, facts, options)


def _read_expiry(text: str | None, invocation: Invocation) -> datetime | None:
    days = invocation.settings.security.default_expiry_days
    if text is None and days == 0:
        return None
    return read_expiry(text if text is not None else f"{days}d", invocation)
