"""The error types of FastGate: few, flat, each with an HTTP status, a stable code and a hint.

Foreign exceptions are translated into these once, at the edge that meets them. A message never holds a
secret: no key, no header value, no file content.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# Reasons in audit rows that say how a request ended, and not that anything failed: a client that closes an
# event stream between two events has heard all that it wanted (MCP's SDKs do so at each call).
NOT_ERRORS = frozenset({"client_closed"})


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault in a file, at a line and column counted from 1 (0 where there is no such place)."""

    message: str
    file: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        if not self.file:
            return self.message
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {self.message}"


class FastGateError(Exception):
    """Something a person or a client has to be told: what happened, and what to do next (`hint`)."""

    status = 500
    code = "internal_error"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class InvalidInputError(FastGateError):
    """An argument, option or document that cannot be accepted."""

    status = 400
    code = "invalid_input"


class ConfigurationError(InvalidInputError):
    """A configuration that cannot be used; `problems` lists every fault found, in the file's order."""

    code = "invalid_configuration"

    def __init__(self, problems: Sequence[Problem], *, hint: str = "") -> None:
        super().__init__("\n".join(str(problem) for problem in problems), hint=hint)
        self.problems = tuple(problems)


class NotFoundError(FastGateError):
    """No key, route or log with that id."""

    status = 404
    code = "not_found"


class ConflictError(FastGateError):
    """What was asked for is taken already: an id, a port."""

    status = 409
    code = "conflict"


class NotRunningError(FastGateError):
    """No gateway runs that could be asked or told something."""

    status = 503
    code = "not_running"


class DatabaseError(FastGateError):
    """The database cannot be reached, read or trusted; it has been left as it was."""

    status = 503
    code = "database_unavailable"


class JournalError(FastGateError):
    """The journal cannot be written, so a request could not be audited."""

    status = 503
    code = "overloaded"


class UpstreamError(FastGateError):
    """The backend could not be connected to: nothing of the request has reached it.

    `detail` tells the audit trail what kind of failure it was, in a few words of a fixed list: it never holds
    an address, a name, or what a backend sent. `words` say to the operator what the client is not told.
    """

    status = 502
    code = "upstream_unreachable"

    def __init__(self, message: str, *, hint: str = "", detail: str = "", words: str = "") -> None:
        super().__init__(message, hint=hint)
        self.detail = detail
        self.words = words or message

    @property
    def explanation(self) -> str:
        """Return what an operator reads: what is wrong, and what to do about it."""
        return f"{self.words}; {self.hint}" if self.hint else self.words

    @property
    def reason(self) -> str:
        """Return what the audit row says: the code, and why it was that where the code says little."""
        is_vague = self.code == UpstreamError.code
        return f"{self.code}: {self.detail}" if self.detail and is_vague else self.code


class NoFilesError(UpstreamError):
    """This process has no file left for a connection: the fault is the gateway's own, and will pass."""

    status = 503
    code = "overloaded"


class UpstreamTimeoutError(UpstreamError):
    """The backend let a time-out pass."""

    status = 504
    code = "upstream_timeout"


class UpstreamInvalidError(UpstreamError):
    """The backend answered with something that is not HTTP."""

    code = "upstream_invalid"


class UpstreamTruncatedError(UpstreamError):
    """The backend stopped in the middle of a response."""

    code = "upstream_truncated"
