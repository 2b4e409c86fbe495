"""What holds for all tests: property tests have the same examples each time, or others if asked for."""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("same", derandomize=True)
settings.register_profile("other", derandomize=False)
settings.load_profile("other" if os.environ.get("FASTGATE_OTHER_EXAMPLES") else "same")
