"""`fastgate help times`: how times and durations are written, and how they are printed."""

from __future__ import annotations

from dataclasses import dataclass

from fastgate_cli.help.page import Page, Rows, Text
from proxy.clock import format_time, from_us, parse_timezone


@dataclass(frozen=True, slots=True)
class TimeExample:
    """What is written, what it means, and when that is if it is noon of 2026-01-31 at +08:00.

    A moment is given without that offset. `future`: in an option that looks ahead.
    """

    text: str
    meaning: str
    moment: str
    future: bool = False


NOW = "2026-01-31T12:00:00"
LOOKING_BACK = (
    TimeExample("15m", "fifteen minutes ago", "2026-01-31T11:45:00"),
    TimeExample("1h30m", "an hour and a half ago; larger units first", "2026-01-31T10:30:00"),
    TimeExample("7d", "seven days ago", "2026-01-24T12:00:00"),
    TimeExample("2w", "two weeks ago", "2026-01-17T12:00:00"),
    TimeExample("now", "this moment", "2026-01-31T12:00:00"),
    TimeExample("today", "when the day began", "2026-01-31T00:00:00"),
    TimeExample("yesterday", "when the day before began", "2026-01-30T00:00:00"),
    TimeExample("2026-01-31", "when that day began", "2026-01-31T00:00:00"),
    TimeExample("2026-01-31T08:00", "that minute, in app.timezone", "2026-01-31T08:00:00"),
    TimeExample("2026-01-31T08:00:00Z", "RFC 3339, with an offset of its own", "2026-01-31T16:00:00"),
    TimeExample("2026-01-31T08:00:00-05:00", "the same", "2026-01-31T21:00:00"),
)
LOOKING_AHEAD = (
    TimeExample("90d", "ninety days from now", "2026-05-01T12:00:00", future=True),
    TimeExample("2030-12-31", "when that day begins", "2030-12-31T00:00:00", future=True),
)
REFUSED = ("30m1h", "1.5h", "5 days", "31.01.2026", "tomorrow")
ZONES = ("+08:00", "-0330", "UTC")


def build_page() -> Page:
    """Return the page."""
    printed = format_time(from_us(1_769_832_000_000_000), parse_timezone(ZONES[0]), timespec="microseconds")
    return Page(
        examples=(
            "fastgate logs list --since 1h30m",
            "fastgate logs list --since yesterday --until today",
            "fastgate logs list --since 2026-01-31T08:00 --until 2026-01-31T09:00",
            "fastgate keys create --expires 90d",
            "fastgate keys list --expiring 7d",
        ),
        blocks=(
            Text("A duration is whole numbers with w, d, h, m and s, weeks to seconds, without blanks."),
            Rows([(example.text, example.meaning) for example in LOOKING_BACK], "Looking back, as --since"),
            Rows(
                [
                    *((example.text, example.meaning) for example in LOOKING_AHEAD),
                    ("never", "--expires only: the key does not end"),
                ],
                "Looking ahead, as --expires",
            ),
            Text(f"These are no times: {', '.join(REFUSED)}."),
            Text(
                "Days begin, and times without an offset are, in app.timezone, which is written as "
                f"{', '.join(ZONES[:-1])} or {ZONES[-1]}. What is printed in data has that offset too: "
                f"{printed}. What is stored does not depend on it."
            ),
        ),
    )
