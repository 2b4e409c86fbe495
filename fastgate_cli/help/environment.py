"""`fastgate help environment`: the files and variables that are read, and which of them is stronger."""

from __future__ import annotations

from collections.abc import Iterator

from fastgate_cli.help.output import VARIABLES
from fastgate_cli.help.page import Page, Rows, Text
from proxy.settings import Settings, database_path
from proxy.settings.listing import list_settings
from proxy.settings.load import list_variables
from proxy.settings.model import SECTIONS, section_keys

# Where a configuration is looked for, in this order.
PLACES = (
    "./fastgate.yaml",
    "$XDG_CONFIG_HOME/fastgate/fastgate.yaml",
    "/etc/fastgate/fastgate.yaml",
)
DATA_FOLDER = "$XDG_DATA_HOME/fastgate"
FOLDERS = {
    "XDG_CONFIG_HOME": "the folder of configurations; ~/.config unless it is set",
    "XDG_DATA_HOME": "the folder of data, if no file says otherwise; ~/.local/share unless it is set",
}
OTHERS = {
    "FASTGATE_CONFIG": "the configuration file, if -c names none",
    "FASTGATE_DEBUG": "1: errors come with their traceback",
    "LC_ALL": "a locale without UTF-8: bars are drawn of letters",
    "LANG": "the same, unless LC_ALL is set",
    "PAGER": "what shows long texts on a terminal; without it they are just printed",
    "FASTGATE_PAGER": "the same for fastgate alone, and stronger; cat is none",
    "NOTIFY_SOCKET": "set by systemd: 'fastgate serve' tells it when it is ready, reloads and stops",
}


def list_files() -> list[tuple[str, str]]:
    """Return the files that are read and written, and what they are."""
    plain = Settings()
    return [
        *((place, "the configuration") for place in PLACES),
        (str(database_path(plain)), f"the database; without a configuration {DATA_FOLDER}/fastgate.db"),
        (f"{plain.audit.directory}/", f"requests that wait for the database, or {DATA_FOLDER}/journal/"),
        (str(plain.rate_limiting.file), f"how much keys have used of their limits, or {DATA_FOLDER}/limits"),
    ]


def list_setting_variables() -> Iterator[tuple[str, str]]:
    """Yield the variable of each setting, and its default with the shorter names that it has, if any."""
    origins = {f"{section}.{key}": "default" for section in SECTIONS for key, _, _ in section_keys(section)}
    for setting in list_settings(Settings(origins=origins)):
        name, *others = list_variables(setting.name)
        also = f"; also {', '.join(others)}" if others else ""
        yield name, (setting.text or "empty") + also


def build_page() -> Page:
    """Return the page."""
    return Page(
        examples=(
            "FASTGATE_APP_PORT=9000 fastgate serve",
            "FASTGATE_CONFIG=/srv/gateway/fastgate.yaml fastgate keys list",
            "DATABASE_URL=sqlite:////srv/gateway/fastgate.db fastgate db status",
            "fastgate config show --origin    # what is in force, and where it came from",
            "fastgate config path             # the file in use",
        ),
        blocks=(
            Text(
                "The configuration is the file that -c names, before the command; else the one that "
                "FASTGATE_CONFIG names; else the first of those below; else there is none, and the defaults "
                "hold. Relative paths in a file begin at its folder."
            ),
            Rows(list_files(), "Files"),
            Text(
                "An option is stronger than a variable, a variable than the file, the file than the "
                "default. A variable that is empty counts as unset; a list in one is separated by "
                "commas."
            ),
            Rows(list({**OTHERS, **FOLDERS, **VARIABLES}.items()), "Variables"),
            Rows(list(list_setting_variables()), "Variables of settings, with the defaults"),
            Text("fastgate.yaml, as 'fastgate init' writes it, explains every setting."),
        ),
    )
