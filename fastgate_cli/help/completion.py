"""`fastgate help completion`: what the Tab key completes, and how a shell is told to ask."""

from __future__ import annotations

from fastgate_cli.help.page import Page, Rows, Text

# Where `--install-completion` writes, below the home folder.
FILES = {
    "bash": (".bash_completions/fastgate.sh", ".bashrc"),
    "zsh": (".zfunc/_fastgate", ".zshrc"),
    "fish": (".config/fish/completions/fastgate.fish", ""),
}
COMPLETED = {
    "commands": "with what each does",
    "options": "those that were not given yet",
    "keys": "ids, with hint and source",
    "routes": "ids and names, with pattern and backend",
    "sources": "with how many keys they have",
    "requests": "the newest ids, with method, path and status",
    "settings": "for 'fastgate config', with what they may hold",
    "migrations": "for 'fastgate db downgrade --to'",
    "formats": "for -o",
    "topics": "for 'fastgate help'",
}


def build_page() -> Page:
    """Return the page."""
    return Page(
        examples=(
            "fastgate --install-completion    # for this shell; then open a new one",
            "fastgate --show-completion       # what it would install",
            "_FASTGATE_COMPLETE=source_bash fastgate > /etc/bash_completion.d/fastgate",
        ),
        blocks=(
            Rows(
                [
                    (shell, f"~/{file}" + (f", and a line in ~/{rc}" if rc else ""))
                    for shell, (file, rc) in FILES.items()
                ],
                "What is written",
            ),
            Rows(list(COMPLETED.items()), "What Tab completes"),
            Text(
                "Ids and names come from the database of the configuration that -c on the same line "
                "names, or of the one that is found. They are read, nothing is written; without a "
                "database, or beside a configuration that cannot be used, there are none, and no error "
                "is shown. zsh and fish show the descriptions. Where a file is asked for, the shell "
                "completes files."
            ),
            Text("For zsh and fish _FASTGATE_COMPLETE is source_zsh and source_fish."),
        ),
    )
