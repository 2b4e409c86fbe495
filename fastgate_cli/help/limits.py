"""`fastgate help limits`: how many requests a key may send."""

from __future__ import annotations

from dataclasses import dataclass

from fastgate_cli.help.page import Page, Rows, Text
from proxy.settings import RateLimitingSettings


@dataclass(frozen=True, slots=True)
class LimitExample:
    """The limit of a key (`burst` 0: a minute's allowance), and what an idle key may then do."""

    rate: int
    burst: int
    at_once: int
    then_every: str

    @property
    def options(self) -> str:
        """Return the options of the key."""
        return f"--rate-limit {self.rate}" + (f" --burst {self.burst}" if self.burst else "")

    def describe(self) -> str:
        """Return what a key with them may do."""
        return f"{self.at_once} at once, then one every {self.then_every}"


LIMITS = (
    LimitExample(60, 0, 60, "1s"),
    LimitExample(60, 10, 10, "1s"),
    LimitExample(600, 20, 20, "100ms"),
    LimitExample(1, 0, 1, "1m0s"),
)
HEADERS = {
    "x-ratelimit-limit-requests": "how many requests the whole allowance is",
    "x-ratelimit-remaining-requests": "how many of them are left",
    "x-ratelimit-reset-requests": "when the allowance will be full again: 120ms, 6m0s",
    "retry-after": "with a refusal: seconds until the next request is let through",
}


def build_page() -> Page:
    """Return the page."""
    defaults = RateLimitingSettings()
    unlimited = [("--rate-limit 0", "no limit")]
    return Page(
        examples=(
            "fastgate keys create --source batch --rate-limit 600 --burst 20",
            "fastgate keys update key_01jd2m5n8r9xq4t7w0z3v6b1ca --rate-limit 0",
            "fastgate keys update key_01jd2m5n8r9xq4t7w0z3v6b1ca --rate-limit default",
            "fastgate config set rate_limiting.default_requests_per_minute 300",
        ),
        blocks=(
            Text(
                "A limit is requests a minute. An idle key may send its whole allowance at once, a "
                "minute's or that of --burst; from then on it grows back evenly, one request every 60/N "
                "seconds (GCRA). Nothing is lost or won at the turn of a minute."
            ),
            Rows([*((example.options, example.describe()) for example in LIMITS), *unlimited], "Limits"),
            Text(
                "A key without a limit of its own has rate_limiting.default_requests_per_minute, which "
                f"is {defaults.default_requests_per_minute} unless it is set. Limits are exact over all "
                "workers of a machine and survive a restart of the gateway; with rate_limiting.enabled "
                "false there are none."
            ),
            Rows(list(HEADERS.items()), "Headers of the answer"),
            Text(
                "A request that is one too many is answered with 429 and the code rate_limited, takes "
                "nothing from the allowance, and does not reach a backend."
            ),
        ),
    )
