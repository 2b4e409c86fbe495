"""Why a backend could not be reached or did not answer, in words for its operator, and what to do about it.

A client is told less: these texts name addresses. They never hold what a request or a response held.
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator

import httpx

from proxy.errors import FastGateError, NoFilesError, UpstreamTimeoutError

Diagnosis = tuple[str, str]  # what is wrong, and what to do
_REASON_LENGTH_MAX = 200
# {update} stands for the command that changes the route.
_NOT_ACCEPTED = ("it did not accept a connection in time", "is that machine up, and the port open?")
_NO_FILES = ("no file is left for a connection", "raise 'ulimit -n'")
_BY_NUMBER: dict[int, Diagnosis] = {
    errno.ECONNREFUSED: ("nothing listens there", "start the backend, or: {update} --to URL"),
    errno.ECONNRESET: ("the connection was reset", "look at its log; if it wants https: {update} --to URL"),
    errno.ENETUNREACH: ("there is no way to its network", "look at the network of this machine"),
    errno.EHOSTUNREACH: ("there is no way to its host", "is that machine up? or: {update} --to URL"),
    errno.ETIMEDOUT: _NOT_ACCEPTED,
    errno.EACCES: ("this machine does not let the connection out", "look at its firewall"),
    errno.EMFILE: _NO_FILES,
    errno.ENFILE: _NO_FILES,
}
_UNTRUSTED = (
    "its certificate is not trusted: {}",
    "{update} --tls-ca FILE names its authority; --tls-insecure trusts anybody",
)
_NO_TLS = (
    "it does not speak TLS as this machine does: {}",
    "if it speaks plain HTTP: {update} --to http://...",
)
_UNKNOWN_NAME = ("its name cannot be resolved", "look at this machine's DNS, or: {update} --to URL")
_SILENT = ("it was silent for too long", "look at its log; {update} --timeout S bears more silence")
_LATE = ("the whole took longer than it may", "{update} --total-timeout S gives it longer")
_PROXY = ("the egress proxy refuses the connection", "look at proxy.egress_proxy")
_UNREACHABLE = ("it cannot be reached", "look at its address: {update} --to URL")
_BROKE_OFF = (
    "it broke off, or did not speak HTTP",
    "look at its log; if it wants https or HTTP/2: {update} --to https://... or --http2",
)


def diagnose(error: BaseException, route: str) -> Diagnosis:
    """Return what an error of a connection, or of the exchange over it, means; `route` is its name or id."""
    what, remedy = _find(error)
    return what, remedy.replace("{update}", f"fastgate routes update {route}")


def _find(error: BaseException) -> Diagnosis:
    chain = list(_causes(error))
    if isinstance(error, NoFilesError):
        return _NO_FILES
    if any(isinstance(cause, httpx.ProxyError) for cause in chain):
        return _PROXY
    for cause in reversed(chain):
        if isinstance(cause, OSError) and (found := _diagnose_system(cause)):
            return found
    if any(isinstance(cause, httpx.ConnectTimeout) for cause in chain):
        return _NOT_ACCEPTED
    if any(isinstance(cause, httpx.TimeoutException) for cause in chain):
        return _SILENT
    if isinstance(error, UpstreamTimeoutError):
        return _LATE
    if isinstance(error, FastGateError) and error.hint:
        return error.message, error.hint
    if any(isinstance(cause, httpx.ConnectError | ValueError) for cause in chain):
        return _UNREACHABLE
    if isinstance(error, TimeoutError):
        return _NOT_ACCEPTED
    return _BROKE_OFF


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    found: BaseException | None = error
    while found is not None and id(found) not in seen:
        seen.add(id(found))
        yield found
        found = found.__cause__ or found.__context__


def _diagnose_system(error: OSError) -> Diagnosis | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _fill(_UNTRUSTED, error.verify_message)
    if isinstance(error, ssl.SSLError):
        return _fill(_NO_TLS, (getattr(error, "reason", "") or "no reason given").lower().replace("_", " "))
    if isinstance(error, socket.gaierror):
        return _UNKNOWN_NAME
    for number, found in _BY_NUMBER.items():
        # asyncio makes one error without a number of those of several addresses.
        if error.errno == number or (error.errno is None and f"[Errno {number}]" in str(error)):
            return found
    return None


def _fill(diagnosis: Diagnosis, reason: str) -> Diagnosis:
    return diagnosis[0].format(reason[:_REASON_LENGTH_MAX]), diagnosis[1]
