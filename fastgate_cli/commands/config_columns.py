"""How a setting is named on a command line and printed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fastgate_cli.columns import Column, format_text, style_quiet
from fastgate_cli.options import Completions, pick_completions
from fastgate_cli.output import OutputOptions, print_object

if TYPE_CHECKING:
    from proxy.settings.listing import Listed


def shorten_origin(origin: str) -> str:
    """Return where a value came from, its file without the folders."""
    return Path(origin).name if origin.startswith("/") else origin


def style_origin(origin: str) -> str:
    """Return the style of where a value came from: what nobody has chosen is quiet."""
    return style_quiet(origin) if origin == "default" else ""


_VALUES = (
    Column("setting"),
    Column("value", shown="data"),
    Column("text", "value", shown="display", value=lambda row: row["text"], elastic=True, wraps=True),
)
COLUMNS = (*_VALUES, Column("origin", shown="wide"))
ORIGIN_COLUMNS = (
    *_VALUES,
    Column("origin", text=lambda origin, _: shorten_origin(origin), style=style_origin, elastic=True),
)


def complete_settings(incomplete: str) -> Completions:
    """Return the settings that begin as typed, with what they may hold."""
    from proxy.settings.model import SECTIONS, section_keys

    settings = (
        (f"{section}.{key}", kind.expected) for section in SECTIONS for key, kind, _ in section_keys(section)
    )
    return pick_completions(settings, incomplete)


SettingName = Annotated[
    str,
    typer.Argument(metavar="PATH", help="Section and key, as app.port.", autocompletion=complete_settings),
]


def describe_setting(setting: Listed) -> dict[str, Any]:
    """Return a setting as a row."""
    return {
        "setting": setting.name,
        "value": setting.value,
        "text": setting.text or None,
        "origin": setting.origin,
    }


def print_setting(setting: Listed, options: OutputOptions) -> None:
    """Print the value of a setting alone, or, where a format was asked for, the whole row."""
    if options.format is None and not options.fields:
        print(format_text(setting.value, options.zone), flush=True)  # noqa: T201
    else:
        print_object(describe_setting(setting), COLUMNS, options)
