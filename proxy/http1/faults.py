"""What can be wrong with a request before any application looks at it."""

from __future__ import annotations

from typing import NamedTuple


class Fault(NamedTuple):
    """The status that the request gets, the reason for the record, and words for the client."""

    status: int
    reason: str
    message: str


BAD_HEAD = Fault(400, "bad_request", "the request is not well-formed HTTP/1.1")
BAD_FRAMING = Fault(400, "bad_framing", "the length of the request is stated in no valid way")
BAD_VERSION = Fault(505, "bad_request", "this server speaks HTTP/1.1")
BAD_EXPECTATION = Fault(417, "bad_request", "the only expectation that is met is 100-continue")
SLOW_HEAD = Fault(408, "client_timeout", "the head of the request did not come in time")
CROWDED = Fault(503, "overloaded", "the server has as many connections as it takes; try again in a moment")
FAILED = Fault(500, "internal_error", "the server failed")
LONG_LINE = Fault(414, "too_large", "the request target is too long")
LONG_HEADERS = Fault(431, "too_large", "the header fields are too many or too long")
