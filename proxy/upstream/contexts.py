"""TLS towards backends: whom a route trusts. Certificates are verified unless a route says otherwise."""

from __future__ import annotations

import ssl
from pathlib import Path

from proxy.errors import UpstreamError
from proxy.policy.model import Route

HTTP2 = "h2"  # RFC 9113 section 3.2


def build_context(*, ca_file: str = "", verify: bool = True, http2: bool = False) -> ssl.SSLContext:
    """Return a context that trusts the system's authorities and those of a file.

    Without `verify` it trusts anybody, and says so nowhere else. Raises `OSError` for a file that cannot be
    read or holds no certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.options |= ssl.OP_NO_RENEGOTIATION  # it would have writing wait for reading
    if http2:
        context.set_alpn_protocols([HTTP2])  # and nothing besides: a server might choose the other
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    context.load_default_certs()
    if ca_file:
        context.load_verify_locations(ca_file)
    return context


def load_context(route: Route) -> ssl.SSLContext:
    """Return a route's context; `UpstreamError` if its authorities cannot be read."""
    try:
        return build_context(ca_file=route.tls_ca, verify=route.tls_verify, http2=route.http_version == "2")
    except (OSError, ValueError) as error:  # ValueError: a path that holds NUL
        raise UpstreamError(
            "the route's certificate authorities cannot be read", hint=f"look at the file {route.tls_ca}"
        ) from error


def find_authority_fault(route: Route) -> str:
    """Return why a route's file of authorities cannot be used; empty if it can be, or there is none."""
    if not route.tls_ca:
        return ""
    try:
        build_context(ca_file=route.tls_ca)
    except (ssl.SSLError, ValueError):  # ValueError: a path that holds NUL
        reason = "it is no PEM file"
    except OSError as error:
        reason = error.strerror or "no reason given"
    else:
        return ""
    return f"its certificate authorities cannot be read: {route.tls_ca}: {reason}"


def identify_file(ca_file: str) -> tuple[int, int, int]:
    """Return what changes when a file of authorities does."""
    if not ca_file:
        return 0, 0, 0
    try:
        status = Path(ca_file).stat()
    except (OSError, ValueError):  # ValueError: a path that holds NUL
        return 0, 0, 0
    return status.st_ino, status.st_size, status.st_mtime_ns
