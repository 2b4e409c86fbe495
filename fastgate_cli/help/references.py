"""`fastgate help references`: values that come from the environment or from files."""

from __future__ import annotations

from dataclasses import dataclass

from fastgate_cli.help.page import Page, Rows, Text


@dataclass(frozen=True, slots=True)
class ReferenceExample:
    """A reference, what it means, and what it becomes where NAME is `set` and where it is not.

    None: it is refused.
    """

    reference: str
    meaning: str
    value: str | None
    without: str | None


# In the examples NAME is "text".
SETTINGS = (
    ReferenceExample("${NAME}", "the variable, which has to be set", "text", None),
    ReferenceExample("${NAME:-default}", "the default if it is unset or empty", "text", "default"),
    ReferenceExample("${NAME:?message}", "refused with that message if it is unset or empty", "text", None),
    ReferenceExample("$$", "a $ of its own", "$", "$"),
    ReferenceExample("$NAME", "itself: only the forms above mean something", "$NAME", "$NAME"),
)
HEADERS = (
    ReferenceExample("${env:NAME}", "a variable in the environment of the gateway", "text", None),
    ReferenceExample("${file:PATH}", "the content of a file, less blanks at its ends", "text", None),
)


def build_page() -> Page:
    """Return the page."""
    return Page(
        examples=(
            "fastgate routes add --match '/v1/*' --to https://api.openai.com \\",
            "    --set-header 'Authorization: Bearer ${env:OPENAI_API_KEY}'",
            "fastgate routes update openai --set-header 'x-api-key: ${file:secret.txt}'",
            "fastgate config set security.admin_token '${ADMIN_TOKEN:?set it first}'",
        ),
        blocks=(
            Text(
                "A reference stands where a secret would, so that the secret itself is in no file and "
                "no database. In a shell, put it in single quotes: it is not for the shell to fill in."
            ),
            Rows([(example.reference, example.meaning) for example in HEADERS], "In header values of routes"),
            Text(
                "They are filled in by the gateway when it starts and when keys or routes change, never "
                "by a command: what is stored and shown is the reference. A relative PATH begins at the "
                "folder of the configuration file. One that stands for nothing leaves its route out of "
                "service; 'fastgate doctor' and 'fastgate routes lint' find it."
            ),
            Rows([(example.reference, example.meaning) for example in SETTINGS], "In fastgate.yaml"),
            Text(
                "They may stand anywhere in a value. For a list, a reference may stand for all of it: a,b,c."
            ),
            Rows(
                [("${keep}", "in a document for 'fastgate apply': the secret that the database has stays")],
                "In documents",
            ),
        ),
    )
