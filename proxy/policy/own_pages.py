"""The paths of the gateway's own pages: no route ever serves them."""

from __future__ import annotations

PAGE_PATHS = ("/", "/health", "/metrics")
PAGE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))


def own_paths(system_prefix: str) -> frozenset[bytes]:
    """Return the paths that the gateway answers itself, below `app.system_prefix`."""
    return frozenset(f"{system_prefix}{path}".encode() for path in PAGE_PATHS)
