"""What holds for all tests: property tests have the same examples each time, or others if asked for.

No example has to be done in a given time, which a busy machine may not have. Signals end what tests start,
also where they run in the background of a script, or of `nohup`, which has its children ignore some. What the
environment of a person says to the program is not said to the one under test.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.ports import reserve_port

settings.register_profile("same", derandomize=True, deadline=None)
settings.register_profile("other", derandomize=False, deadline=None)
settings.load_profile("other" if os.environ.get("FASTGATE_OTHER_EXAMPLES") else "same")

_FOR_TESTS = ("FASTGATE_OTHER_EXAMPLES", "FASTGATE_FUZZ_EXAMPLES")
_FOR_THE_PROGRAM = frozenset(
    (
        *("DATABASE_URL", "ADMIN_TOKEN", "APP_HOST", "APP_PORT", "NOTIFY_SOCKET"),
        *("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "PAGER", "MANPAGER"),
    )
)
for name in [*os.environ]:
    if name in _FOR_THE_PROGRAM or (name.startswith(("FASTGATE_", "XDG_")) and name not in _FOR_TESTS):
        del os.environ[name]
os.environ["TERM"] = "xterm-256color"

for number, action in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, action)


@pytest.fixture
def refusing() -> Iterator[str]:
    """A port that is taken, and on which nobody listens."""
    with reserve_port() as port:
        yield f"127.0.0.1:{port}"
