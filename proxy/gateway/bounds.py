"""What the gateway may spend on a request: every bound that the configuration sets, in one place."""

from __future__ import annotations

from dataclasses import dataclass

from proxy.settings import ProxySettings


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds in bytes and seconds. A route's own time-outs are stronger than these.

    `timeout_seconds` is for each wait for a backend, `total_timeout_seconds` for a whole exchange (0: none).
    `keep_alive_seconds` is how long an event stream may be silent before it is sent a comment (0: for ever).
    With `is_collecting` an answer is sent once all of it is there, up to `body_bytes_max`.
    """

    timeout_seconds: float = 300.0
    total_timeout_seconds: float = 0.0
    body_bytes_max: int = 32 << 20
    inspected_bytes_max: int = 32 << 20
    inspected_total_bytes_max: int = 256 << 20
    client_timeout_seconds: float = 30.0
    in_flight_max: int = 2048
    keep_alive_seconds: float = 0.0
    is_collecting: bool = False


def build_bounds(settings: ProxySettings) -> Bounds:
    """Return the bounds that the configuration's `proxy` section sets."""
    return Bounds(
        timeout_seconds=settings.timeout,
        total_timeout_seconds=settings.total_timeout,
        body_bytes_max=settings.max_body_size,
        inspected_bytes_max=min(settings.inspect_body_size, settings.max_body_size),
        inspected_total_bytes_max=settings.inspect_memory_max,
        client_timeout_seconds=settings.client_timeout,
        in_flight_max=settings.max_in_flight,
        keep_alive_seconds=settings.stream_keepalive,
        is_collecting=not settings.enable_streaming,
    )
