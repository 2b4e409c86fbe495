"""What one client may ask of the server: every bound of a connection has its name here."""

from __future__ import annotations

from dataclasses import dataclass

LINE_BYTES_MAX = 16 * 1024
HEADER_BYTES_MAX = 16 * 1024
HEADERS_MAX = 100
# What a head may have of bytes that no callback has counted yet, one header that does not end, and what a
# chunked body may have between two pieces: extensions and trailers, which nobody reads.
UNPARSED_BYTES_MAX = LINE_BYTES_MAX + HEADER_BYTES_MAX
# What a connection holds of bodies, of all its requests, before it stops reading.
QUEUED_BODY_BYTES_MAX = 64 * 1024
FEED_BYTES_MAX = 64 * 1024  # that are parsed in one turn of the event loop: others come in between
UNSENT_BYTES_MAX = 32 * 1024  # besides what the system holds
PIPELINED_REQUESTS_MAX = 32
# A client that is still sending when it has its answer may go on for a while, or the answer would be lost
# with the connection: as long as each `LINGER_SECONDS` bring so many bytes, and up to so many in all.
LINGER_SECONDS = 5.0
LINGER_BYTES_MIN = 4 * 1024
LINGER_BYTES_MAX = 256 * 1024 * 1024
STOPPING_SECONDS = 1.0  # for the first request of a connection that is new when the server stops


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """The bounds that a configuration sets.

    `client_timeout_seconds` is for a head as a whole, for each wait for a piece of a body, and for a client
    that takes nothing of what it is sent.
    """

    connections_max: int = 4096
    client_timeout_seconds: float = 30.0
    keep_alive_seconds: float = 75.0
