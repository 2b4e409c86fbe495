"""The `fastgate` command: its global options, the table of its commands, and how every run of it ends.

Nothing heavy is imported here: a command's module is imported when the command is called.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, cast

import typer

from fastgate_cli.coercion import lighten_parameters
from fastgate_cli.context import Invocation
from fastgate_cli.failures import BROKEN_PIPE, INTERRUPTED, UnwrittenError, report_failure, wants_json
from fastgate_cli.groups import CommandPlace, LazyGroup, build_group
from fastgate_cli.help.topics import TOPICS
from fastgate_cli.interrupts import raise_interrupts
from proxy import __version__

if TYPE_CHECKING:
    from io import TextIOWrapper

    from typer._click import Context

PROGRAM = "fastgate"
_COMPLETION_VARIABLE = "_FASTGATE_COMPLETE"
_HOME = "fastgate_cli.commands"


class FastGateGroup(LazyGroup):
    """The commands of FastGate."""

    places: ClassVar[Mapping[str, CommandPlace]] = {
        "init": CommandPlace(f"{_HOME}.init:init", "Write fastgate.yaml and create the database."),
        "quickstart": CommandPlace(
            f"{_HOME}.quickstart:quickstart", "Try it: backend, route, key and gateway."
        ),
        "serve": CommandPlace(f"{_HOME}.serve:serve", "Run the gateway."),
        "status": CommandPlace(f"{_HOME}.running:status", "Show the gateway that this configuration runs."),
        "reload": CommandPlace(f"{_HOME}.running:reload", "Have it read its configuration anew."),
        "stop": CommandPlace(f"{_HOME}.running:stop", "Have it finish its requests and end."),
        "keys": CommandPlace(f"{_HOME}.keys:app", "API keys: who may use the gateway."),
        "routes": CommandPlace(f"{_HOME}.routes:app", "Routes: which requests go to which backend."),
        "logs": CommandPlace(f"{_HOME}.logs:app", "The audit trail: every request, past and present."),
        "metrics": CommandPlace(
            f"{_HOME}.metrics:app", "Figures: requests, errors, latency, and what was most."
        ),
        "top": CommandPlace(f"{_HOME}.top:top", "A live dashboard: rates, latency, the latest requests."),
        "config": CommandPlace(f"{_HOME}.config:app", "The settings in force, and changes to their file."),
        "export": CommandPlace(f"{_HOME}.export:export_document", "Write keys and routes as one document."),
        "diff": CommandPlace(f"{_HOME}.apply:diff_document", "Compare the database with a document."),
        "apply": CommandPlace(f"{_HOME}.apply:apply_document", "Make the database agree with a document."),
        "doctor": CommandPlace(f"{_HOME}.doctor:doctor", "Look at everything, and say what mends it."),
        "db": CommandPlace(f"{_HOME}.db:app", "The database: migrations, checks, backups, import."),
        "mock": CommandPlace(f"{_HOME}.mock:mock", "Run a demo backend that speaks OpenAI and Anthropic."),
        "help": CommandPlace(f"{_HOME}.help:show_help", "Explain a topic or a command; print the manual."),
    }

    def format_commands(self, ctx: Context, formatter: Any) -> None:
        """List the commands, and the topics that `fastgate help` explains."""
        super().format_commands(ctx, formatter)
        with formatter.section("Topics, for 'fastgate help TOPIC'"):
            formatter.write_dl([(name, topic.summary) for name, topic in TOPICS.items()])


app = typer.Typer(
    cls=FastGateGroup, rich_markup_mode=None, context_settings={"help_option_names": ["-h", "--help"]}
)


def _print_version(ctx: typer.Context, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        typer.echo(f"{PROGRAM} {__version__}")
        raise typer.Exit


@app.callback()
def start(
    ctx: typer.Context,
    config: Annotated[
        Path | None, typer.Option("-c", "--config", metavar="FILE", help="The configuration file to use.")
    ] = None,
    version: Annotated[  # noqa: ARG001
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """API keys, routes and a complete audit trail in front of any HTTP backend.

    Examples:
      fastgate quickstart        # try everything at once
      fastgate keys create       # a key, shown once
      fastgate routes add --match '/v1/*' --to http://127.0.0.1:8000
      fastgate serve             # run the gateway
      fastgate logs tail         # watch the requests
    """
    ctx.find_root().obj = Invocation(config)


def run() -> None:
    """Run the command line of this process and exit."""
    # Of a closed stream Python leaves None. Nothing comes in then; data that cannot go out is an error, as on
    # a full disk; notes reach nobody. A name that is not UTF-8 does not break its printing.
    for name, flags in (("stdin", os.O_RDONLY), ("stdout", os.O_RDONLY), ("stderr", os.O_WRONLY)):
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, os.fdopen(os.open(os.devnull, flags), mode, encoding="utf-8"))
    for stream in (sys.stdout, sys.stderr):
        cast("TextIOWrapper", stream).reconfigure(errors="backslashreplace")
    sys.exit(run_command(sys.argv[1:]))


def run_command(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; every error has been told on stderr."""
    try:
        raise_interrupts()
        code = _invoke(list(arguments))
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        _silence_stdout()
        return BROKEN_PIPE
    except (KeyboardInterrupt, typer.Abort):
        print(file=sys.stderr)  # noqa: T201
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001
        if isinstance(error, OSError | UnwrittenError):
            _silence_stdout()
        return report_failure(error, as_json=wants_json(arguments), environ=os.environ)


def _invoke(arguments: list[str]) -> int:
    group = build_group(app, PROGRAM)
    completing = _COMPLETION_VARIABLE in os.environ
    if completing or not arguments or arguments[0] == "help" or arguments[0].startswith("-"):
        # `--install-completion` and its like: only where a global option can stand, or is told.
        group.params += typer.main.get_install_completion_arguments()
        lighten_parameters(group.params)
    if completing:
        from fastgate_cli.completion import answer_shell

        return answer_shell(group, PROGRAM, os.environ[_COMPLETION_VARIABLE], os.environ)
    try:
        with group.make_context(PROGRAM, arguments) as ctx:
            group.invoke(ctx)
    except typer.Exit as leaving:
        return leaving.exit_code
    return 0


def _silence_stdout() -> None:
    # The reader has gone, or the disk is full. What is still buffered would fail again at the very end.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
