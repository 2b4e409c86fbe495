"""`fastgate keys update`: keys that are there, changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from fastgate_cli.columns import Row
from fastgate_cli.commands.key_columns import COLUMNS, focus_columns
from fastgate_cli.commands.key_options import DEFAULT_WORD, read_expiry, read_rate
from fastgate_cli.context import Invocation, invocation_of
from fastgate_cli.options import (
    DryRunOption,
    FieldsOption,
    JsonOption,
    KeyIds,
    OutputOption,
    complete_sources,
    note_dry_run,
)
from fastgate_cli.output import print_note, print_written
from proxy.errors import InvalidInputError

Texts = list[str] | None


@dataclass(frozen=True, slots=True)
class _PermissionLists:
    """What becomes of a key's permissions: `whole` in place of them, or entries added and removed."""

    whole: list[str] | None = None
    added: Sequence[str] = ()
    removed: Sequence[str] = ()

    def apply(self, row: Row, notes: list[str]) -> list[str]:
        """Return the list for a key; `notes` gets what a person may not expect of it."""
        from proxy.policy.permissions import change_permissions, find_restricted

        if self.whole is not None:
            return self.whole
        current = row["permissions"] or []
        if not isinstance(current, list) or not all(isinstance(entry, str) for entry in current):
            raise InvalidInputError(
                f"the permissions of {row['key_id']} cannot be read", hint="replace them with --permission"
            )
        try:
            after = change_permissions(current, self.added, self.removed)
        except InvalidInputError as error:
            raise InvalidInputError(f"{row['key_id']}: {error.message}", hint=error.hint) from None
        notes += (
            f"note: {row['key_id']} might use every {kind} until now, and no longer may"
            for kind in sorted(find_restricted(after) - find_restricted(current))
        )
        return after


def update_keys(
    ctx: typer.Context,
    key_ids: KeyIds,
    source: Annotated[
        str | None,
        typer.Option(
            "--source", metavar="NAME", help="Who or what uses the key.", autocompletion=complete_sources
        ),
    ] = None,
    permission: Annotated[
        Texts, typer.Option("--permission", metavar="P", help="Only this, in place of all. Repeatable.")
    ] = None,
    add_permission: Annotated[
        Texts, typer.Option("--add-permission", metavar="P", help="This too. Repeatable.")
    ] = None,
    remove_permission: Annotated[
        Texts, typer.Option("--remove-permission", metavar="P", help="No longer this. Repeatable.")
    ] = None,
    no_permissions: Annotated[
        bool, typer.Option("--no-permissions", help="Take the list away: the key may use every route.")
    ] = False,
    rate_limit: Annotated[
        str | None,
        typer.Option("--rate-limit", metavar="RPM", help="Requests per minute; 0 is no limit, or default."),
    ] = None,
    rate_burst: Annotated[
        str | None,
        typer.Option("--burst", metavar="N", help="Requests at once; 0 is a minute's allowance, or default."),
    ] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="WHEN", help="90d from now, never, or a time.")
    ] = None,
    dry_run: DryRunOption = False,
    output: OutputOption = None,
    as_json: JsonOption = False,
    fields: FieldsOption = None,
) -> None:
    """Change keys. Only what is given changes; the secret stays. A running gateway knows within a second.

    An empty list of permissions allows everything, so the last one cannot be removed: --no-permissions says
    that it is meant. Nothing is changed if one of the keys is missing or one of the values is bad.

    Examples:
      fastgate keys update key_01jd2m5n8r9xq4t7w0z3v6b1ca --expires 90d
      fastgate keys update key_01jd2m5n8r9xq4t7w0z3v6b1ca --rate-limit default
      fastgate keys update key_01jd2m5n8r9xq4t7w0z3v6b1ca --add-permission '/v2/*'
    """
    from proxy.store.key_changes import update_keys

    invocation = invocation_of(ctx)
    options = invocation.read_output(output, as_json=as_json, fields=fields, columns=COLUMNS)
    columns = _read_columns(invocation, source, rate_limit, rate_burst, expires)
    lists = _read_lists(permission, add_permission, remove_permission, no_permissions)
    if not columns and lists is None:
        raise InvalidInputError("nothing is to be changed", hint="name what changes, as --expires 90d")
    notes: list[str] = []

    def change(row: Row) -> Mapping[str, Any]:
        _check_limits(row, columns)
        return columns if lists is None else {**columns, "permissions": lists.apply(row, notes)}

    with invocation.changing(dry_run=dry_run) as database:
        rows = update_keys(database, key_ids, change, invocation.now)
    changed = [*columns, *(["permissions"] if lists else [])]
    shown = focus_columns("source_path", *changed) if options.is_drawn else COLUMNS
    print_written(rows, shown, options, single=len(key_ids) == 1)
    for note in notes:
        print_note(note)
    note_dry_run(dry_run)


def _read_columns(
    invocation: Invocation,
    source: str | None,
    rate_limit: str | None,
    rate_burst: str | None,
    expires: str | None,
) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    if source is not None:
        columns["source_path"] = source
    if rate_limit is not None:
        columns["rate_limit"] = read_rate("--rate-limit", rate_limit)
    if rate_burst is not None:
        columns["rate_burst"] = read_rate("--burst", rate_burst)
    if expires is not None:
        columns["expires_at"] = read_expiry(expires, invocation)
    return columns


def _read_lists(
    permission: Texts, add_permission: Texts, remove_permission: Texts, no_permissions: bool
) -> _PermissionLists | None:
    ways = (bool(permission), bool(add_permission or remove_permission), no_permissions)
    if ways.count(True) > 1:
        raise InvalidInputError(
            "the options about permissions contradict each other",
            hint="give the whole list with --permission, or change it, or take it away with --no-permissions",
        )
    if not any(ways):
        return None
    whole = list(dict.fromkeys(permission or ())) if permission or no_permissions else None
    return _PermissionLists(whole, add_permission or (), remove_permission or ())


def _check_limits(row: Row, columns: Mapping[str, Any]) -> None:
    after = {**row, **columns}
    is_given = [name in columns for name in ("rate_limit", "rate_burst")]
    if any(is_given) and not all(is_given) and after["rate_limit"] == 0 and after["rate_burst"] is not None:
        other = "--burst" if is_given[0] else "--rate-limit"
        raise InvalidInputError(
            f"{row['key_id']} would have a burst and no rate limit",
            hint=f"give it {other} {DEFAULT_WORD} too",
        )
