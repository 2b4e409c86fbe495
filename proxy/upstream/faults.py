"""Why a backend could not be reached or did not answer: one table for the row, the log, client and operator.

A `Fault` says it once: the detail behind the code in the audit row; the client's message, which names neither
address nor host; and what the operator reads in the log, in `routes test` and in `doctor`. Whoever meets the
error of a socket or of TLS asks `explain_connect_error`; nobody else reads such errors. No text here holds
what a request or an answer held.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Iterator
from typing import NamedTuple

from proxy.errors import (
    NoFilesError,
    UpstreamError,
    UpstreamInvalidError,
    UpstreamTimeoutError,
    UpstreamTruncatedError,
)

_WORDS_LENGTH_MAX = 200
_ROUTE = "ID"  # stands in commands for a route that is not known
_UPDATE = "fastgate routes update"
# Notes that a cancelled wait carries, of which a time-out is made: what was being waited for.
RESOLVING = "while the name was looked up"
SECURING = "in the TLS handshake"
PASSING_PROXY = "on the way to or through the egress proxy"


class LookUpsStuckError(OSError):
    """No name can be looked up now: every thread waits for a name server."""


class InvalidAnswerError(UpstreamInvalidError):
    """What came is no HTTP that everybody reads in the same way; the log says what is wrong with it."""

    def __init__(self, detail: str) -> None:
        super().__init__(
            "the backend's answer is not valid HTTP",
            hint="look at its log, and whether that is an HTTP server",
            detail=detail,
            words=f"its answer is not valid HTTP: {detail}",
        )


class Fault(NamedTuple):
    """One kind of failure. `words` may have a place `{}` for what a library says of it.

    In `remedy`, `{update}` stands for the command that changes the route.
    """

    detail: str
    message: str
    words: str
    remedy: str
    kind: type[UpstreamError] = UpstreamError

    def build_error(self, route: str = _ROUTE) -> UpstreamError:
        """Return it as an error to raise; `route` is the name or id that its hint says."""
        return self.kind(self.message, hint=self.explain_remedy(route), detail=self.detail, words=self.words)

    def explain_remedy(self, route: str) -> str:
        """Return what there is to do, for a route."""
        return self.remedy.replace("{update}", f"{_UPDATE} {route}")


UNREACHABLE = Fault(
    "", "the backend cannot be reached", "it cannot be reached", "look at its address: {update} --to URL"
)
REFUSED = Fault(
    "refused",
    "the backend refused the connection",
    "nothing listens there",
    "start the backend, or: {update} --to URL",
)
RESET = Fault(
    "reset",
    "the backend closed the connection",
    "the connection was reset",
    "look at its log; if it wants https: {update} --to URL",
)
NO_HOST = Fault(
    "no such host",
    "the backend's name cannot be resolved",
    "its name cannot be resolved",
    "look at this machine's DNS, or: {update} --to URL",
)
NO_NAME_SERVER = Fault(
    "no name server",
    "the backend's name cannot be resolved",
    "its name cannot be resolved: the name server does not answer",
    "look at this machine's DNS",
)
BAD_NAME = Fault(
    "no such host",
    "the backend's name cannot be resolved",
    "its name cannot be resolved: no host can have such a name",
    "{update} --to URL",
)
LOOK_UPS_STUCK = Fault(
    "name look-ups stuck",
    "the backend's name cannot be resolved now",
    "too many other names wait for a name server that does not answer",
    "look at this machine's DNS, or give the backend by its address",
)
RESOLVED_TOO_LATE = Fault(
    "name look-up",
    "the backend's name could not be resolved in time",
    "its name server did not answer in time",
    "look at this machine's DNS, or give the backend by its address",
    UpstreamTimeoutError,
)
NOT_ACCEPTED = Fault(
    "no connection",
    "the backend did not accept a connection in time",
    "it did not accept a connection in time",
    "is that machine up, and the port open?",
    UpstreamTimeoutError,
)
SECURED_TOO_LATE = Fault(
    "TLS handshake",
    "the backend did not finish the TLS handshake in time",
    "it accepted a connection and did not finish the TLS handshake in time",
    "look at its log; if it speaks plain HTTP: {update} --to http://...",
    UpstreamTimeoutError,
)
NO_NETWORK = Fault(
    "no route",
    "the backend cannot be reached",
    "there is no way to its network",
    "look at the network of this machine",
)
NO_WAY_TO_HOST = Fault(
    "no route",
    "the backend cannot be reached",
    "there is no way to its host",
    "is that machine up? or: {update} --to URL",
)
NOT_LET_OUT = Fault(
    "not allowed",
    "the backend cannot be reached",
    "this machine does not let the connection out",
    "look at its firewall",
)
NO_LOCAL_PORT = Fault(
    "no local port",
    "the backend cannot be reached",
    "this machine has no local port or address left for the connection",
    "look at its network, and at 'sysctl net.ipv4.ip_local_port_range'",
)
NO_FILES = Fault(
    "no files",
    "no file is left for a connection",
    "no file is left for a connection",
    "raise 'ulimit -n'",
    NoFilesError,
)
UNKNOWN_AUTHORITY = Fault(
    "unknown authority",
    "the backend's certificate is not trusted",
    "its certificate is not trusted: {}",
    "{update} --tls-ca FILE names its authority; --tls-insecure trusts anybody",
)
WRONG_NAME = Fault(
    "wrong name",
    "the backend's certificate is for another name",
    "its certificate is for another name: {}",
    "{update} --to URL with a name that the certificate has",
)
EXPIRED = Fault(
    "certificate expired",
    "the backend's certificate has expired",
    "its certificate is out of date: {}",
    "renew it, and look at this machine's clock",
)
BAD_CERTIFICATE = Fault(
    "bad certificate",
    "the backend's certificate is not trusted",
    "its certificate is not accepted: {}",
    "renew it; {update} --tls-insecure trusts anybody",
)
NOT_TLS = Fault(
    "not TLS",
    "the backend does not speak TLS",
    "it does not speak TLS: {}",
    "if it speaks plain HTTP: {update} --to http://...",
)
TLS_VERSION = Fault(
    "TLS version",
    "the backend speaks no TLS that the gateway accepts",
    "it speaks no version of TLS that this machine accepts: {}",
    "have it speak TLS 1.2 or newer",
)
TLS_REFUSED = Fault(
    "TLS refused",
    "the backend refused the TLS handshake",
    "it refused the TLS handshake: {}",
    "look at its log: it may want another host name, or a certificate of the client",
)
TLS_BROKEN_OFF = Fault(
    "TLS broken off",
    "the backend broke off the TLS handshake",
    "it closed the connection in the TLS handshake",
    "look at its log; if it speaks plain HTTP: {update} --to http://...",
)
TLS_FAILED = Fault(
    "TLS failed",
    "the TLS handshake with the backend failed",
    "it does not speak TLS as this machine does: {}",
    "look at its log; if it speaks plain HTTP: {update} --to http://...",
)
NO_HTTP2 = Fault(
    "no HTTP/2",
    "the backend does not speak HTTP/2",
    "it does not speak HTTP/2",
    "{update} --no-http2",
)
EGRESS_PROXY = Fault(
    "egress proxy",
    "the egress proxy refused the connection",
    "the egress proxy refuses the connection: {}",
    "look at proxy.egress_proxy",
)
EGRESS_PROXY_DOWN = Fault(
    "egress proxy",
    "the egress proxy cannot be reached",
    "the egress proxy cannot be reached: {}",
    "look at proxy.egress_proxy",
)
EGRESS_PROXY_LATE = Fault(
    "egress proxy",
    "the egress proxy did not make a connection in time",
    "the egress proxy did not make a connection in time",
    "look at proxy.egress_proxy, and whether the proxy reaches the backend",
    UpstreamTimeoutError,
)
SILENT = Fault(
    "",
    "the backend did not answer in time",
    "it was silent for too long",
    "look at its log; {update} --timeout S bears more silence",
    UpstreamTimeoutError,
)
TOO_LATE = Fault(
    "",
    "the backend took longer than the whole exchange may",
    "the whole took longer than it may",
    "{update} --total-timeout S gives it longer",
    UpstreamTimeoutError,
)
BROKE_OFF = Fault(
    "",
    "the backend broke off or did not speak HTTP",
    "it broke off, or did not speak HTTP",
    "look at its log; if it wants https or HTTP/2: {update} --to https://... or --http2",
    UpstreamInvalidError,
)
TRUNCATED = BROKE_OFF._replace(kind=UpstreamTruncatedError)

_BY_NUMBER = {
    errno.ECONNREFUSED: REFUSED,
    errno.ECONNRESET: RESET,
    errno.ECONNABORTED: RESET,
    errno.EPIPE: RESET,
    errno.ENETUNREACH: NO_NETWORK,
    errno.EAFNOSUPPORT: NO_NETWORK,
    errno.EHOSTUNREACH: NO_WAY_TO_HOST,
    errno.ETIMEDOUT: NOT_ACCEPTED,
    errno.EACCES: NOT_LET_OUT,
    errno.EPERM: NOT_LET_OUT,
    errno.EADDRNOTAVAIL: NO_LOCAL_PORT,
    errno.EMFILE: NO_FILES,
    errno.ENFILE: NO_FILES,
}
# Event loops make some of these without a number.
_BY_KIND: tuple[tuple[type[OSError], Fault], ...] = (
    (LookUpsStuckError, LOOK_UPS_STUCK),
    (ConnectionRefusedError, REFUSED),
    (ConnectionError, RESET),
)
_BY_LOOK_UP = {socket.EAI_AGAIN: NO_NAME_SERVER, socket.EAI_FAIL: NO_NAME_SERVER}
# X509_V_ERR_... of OpenSSL (x509_vfy.h); Python has no names for them.
_BY_VERIFY_CODE = {
    **dict.fromkeys((2, 18, 19, 20, 21, 27), UNKNOWN_AUTHORITY),
    **dict.fromkeys((62, 64), WRONG_NAME),
    **dict.fromkeys((9, 10), EXPIRED),
}
# What OpenSSL says, by a piece of its reason; the first that fits.
_BY_TLS_REASON = (
    ("NO_APPLICATION_PROTOCOL", NO_HTTP2),
    ("UNEXPECTED_EOF", TLS_BROKEN_OFF),
    ("WRONG_VERSION_NUMBER", NOT_TLS),
    ("RECORD_LAYER_FAILURE", NOT_TLS),
    ("PACKET_LENGTH_TOO_LONG", NOT_TLS),
    ("HTTP_REQUEST", NOT_TLS),
    ("UNKNOWN_PROTOCOL", NOT_TLS),
    ("UNSUPPORTED_PROTOCOL", TLS_VERSION),
    ("PROTOCOL_VERSION", TLS_VERSION),
    ("ALERT", TLS_REFUSED),
)
_BY_NOTE = {PASSING_PROXY: EGRESS_PROXY_LATE, RESOLVING: RESOLVED_TOO_LATE, SECURING: SECURED_TOO_LATE}


def explain_connect_error(error: BaseException, route: str = _ROUTE) -> UpstreamError:
    """Return what to raise for an error that came while a connection was opened.

    One of ours is returned as it is. `route` is the name or id that the hint says.
    """
    if isinstance(error, UpstreamError):
        return error
    fault = find_fault(error)
    if fault is None:
        fault = NOT_ACCEPTED if isinstance(error, TimeoutError) else UNREACHABLE
    return fault.build_error(route)


def explain_proxy_error(error: BaseException) -> UpstreamError:
    """Return what to raise for an error that came while a connection to the egress proxy was opened."""
    fault = find_fault(error) or UNREACHABLE
    if fault is NO_FILES:
        return fault.build_error()
    return fill(EGRESS_PROXY_DOWN, fault.words).build_error()


def name_route(hint: str, route: str) -> str:
    """Return the hint of an error with the route's name or id in its commands."""
    return hint.replace(f"{_UPDATE} {_ROUTE} ", f"{_UPDATE} {route} ")


def find_fault(error: BaseException) -> Fault | None:
    """Return what an error means, or what lies behind it does; None if nothing is known of it."""
    for cause in reversed(list(iterate_causes(error))):  # the innermost is where it began
        if fault := _find_by_system(cause):
            return fault
    return None


def iterate_causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what lies behind it, the outermost first, each once."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        cause = waiting.pop()
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        if isinstance(cause, BaseExceptionGroup):
            waiting += cause.exceptions
        elif behind := cause.__cause__ or cause.__context__:
            waiting.append(behind)


def _find_by_system(error: BaseException) -> Fault | None:
    if isinstance(error, asyncio.CancelledError):
        notes = getattr(error, "__notes__", ())
        return next((fault for note, fault in _BY_NOTE.items() if note in notes), None)
    if isinstance(error, UnicodeError):  # a name that IDNA has no form of, such as one with an empty label
        return BAD_NAME
    if isinstance(error, ssl.SSLError):
        return _find_by_tls(error)
    if isinstance(error, socket.gaierror):
        return _BY_LOOK_UP.get(error.errno or 0, NO_HOST)
    return _find_by_number(error) if isinstance(error, OSError) else None


def _find_by_number(error: OSError) -> Fault | None:
    if error.errno is not None and (fault := _BY_NUMBER.get(error.errno)):
        return fault
    for kind, fault in _BY_KIND:
        if isinstance(error, kind):
            return fault
    # asyncio makes one error without a number of those of several addresses.
    text = str(error) if error.errno is None else ""
    return next((fault for number, fault in _BY_NUMBER.items() if f"[Errno {number}]" in text), None)


def _find_by_tls(error: ssl.SSLError) -> Fault:
    if isinstance(error, ssl.SSLCertVerificationError):
        fault = _BY_VERIFY_CODE.get(getattr(error, "verify_code", 0), BAD_CERTIFICATE)
        return fill(fault, getattr(error, "verify_message", ""))
    reason = getattr(error, "reason", None) or str(error).upper().replace(" ", "_")
    if isinstance(error, ssl.SSLEOFError):
        return TLS_BROKEN_OFF
    fault = next((fault for piece, fault in _BY_TLS_REASON if piece in reason), TLS_FAILED)
    return fill(fault, reason.lower().replace("_", " "))


def fill(fault: Fault, said: str) -> Fault:
    """Return a fault with what a library or a peer said of it."""
    return fault._replace(words=fault.words.format(said[:_WORDS_LENGTH_MAX] or "no reason given"))
