"""What the error of a connection means: of real sockets where there can be some, and by tables elsewhere."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from typing import Any

import pytest
import trustme

from proxy.errors import NoFilesError, UpstreamError, UpstreamTimeoutError
from proxy.upstream import faults
from proxy.upstream.faults import (
    NO_HTTP2,
    PASSING_PROXY,
    RESOLVING,
    SECURING,
    Fault,
    InvalidAnswerError,
    LookUpsStuckError,
    explain_connect_error,
    explain_proxy_error,
    find_fault,
    name_route,
)
from tests.proxy.upstream.asking import full_reason

ALL = {name: value for name, value in vars(faults).items() if isinstance(value, Fault)}


def behind(cause: BaseException, *outer: BaseException) -> BaseException:
    """Return an error with others around it, as libraries wrap them."""
    for error in outer:
        error.__cause__, cause = cause, error
    return cause


def unverified(code: int, message: str) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, message
    return error


def late(note: str) -> TimeoutError:
    cancelled = asyncio.CancelledError()
    cancelled.add_note(note)
    error = TimeoutError()
    error.__cause__ = cancelled
    return error


def tls(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, f"[SSL: {reason}] {reason.lower()} (_ssl.c:1006)")
    error.reason = reason
    return error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), "upstream_unreachable: refused"),
        (ConnectionRefusedError(), "upstream_unreachable: refused"),
        (OSError("Multiple exceptions: [Errno 111] a, [Errno 111] b"), "upstream_unreachable: refused"),
        (ConnectionResetError(errno.ECONNRESET, "x"), "upstream_unreachable: reset"),
        (ConnectionResetError(), "upstream_unreachable: reset"),
        (BrokenPipeError(errno.EPIPE, "x"), "upstream_unreachable: reset"),
        (OSError(errno.ENETUNREACH, "x"), "upstream_unreachable: no route"),
        (OSError(errno.EHOSTUNREACH, "x"), "upstream_unreachable: no route"),
        (OSError(errno.EACCES, "x"), "upstream_unreachable: not allowed"),
        (OSError(errno.EADDRNOTAVAIL, "x"), "upstream_unreachable: no local port"),
        (OSError(errno.EMFILE, "x"), "overloaded: no files"),
        (socket.gaierror(socket.EAI_NONAME, "x"), "upstream_unreachable: no such host"),
        (socket.gaierror(socket.EAI_AGAIN, "x"), "upstream_unreachable: no name server"),
        (UnicodeError("label too long"), "upstream_unreachable: no such host"),
        (LookUpsStuckError("x"), "upstream_unreachable: name look-ups stuck"),
        (unverified(18, "self-signed certificate"), "upstream_unreachable: unknown authority"),
        (unverified(20, "unable to get"), "upstream_unreachable: unknown authority"),
        (unverified(62, "Hostname mismatch"), "upstream_unreachable: wrong name"),
        (unverified(64, "IP address mismatch"), "upstream_unreachable: wrong name"),
        (unverified(10, "certificate has expired"), "upstream_unreachable: certificate expired"),
        (unverified(26, "unsupported purpose"), "upstream_unreachable: bad certificate"),
        (tls("WRONG_VERSION_NUMBER"), "upstream_unreachable: not TLS"),
        (tls("RECORD_LAYER_FAILURE"), "upstream_unreachable: not TLS"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong"), "upstream_unreachable: not TLS"),
        (tls("TLSV1_ALERT_PROTOCOL_VERSION"), "upstream_unreachable: TLS version"),
        (tls("SSLV3_ALERT_HANDSHAKE_FAILURE"), "upstream_unreachable: TLS refused"),
        (tls("TLSV1_ALERT_NO_APPLICATION_PROTOCOL"), "upstream_unreachable: no HTTP/2"),
        (tls("SOMETHING_ELSE"), "upstream_unreachable: TLS failed"),
        (ssl.SSLEOFError(8, "EOF occurred"), "upstream_unreachable: TLS broken off"),
        (tls("UNEXPECTED_EOF_WHILE_READING"), "upstream_unreachable: TLS broken off"),
        (ValueError("x"), "upstream_unreachable"),
        (OSError("x"), "upstream_unreachable"),
        (TimeoutError(), "upstream_timeout: no connection"),
        (TimeoutError(errno.ETIMEDOUT, "x"), "upstream_timeout: no connection"),
        (late(RESOLVING), "upstream_timeout: name look-up"),
        (late(SECURING), "upstream_timeout: TLS handshake"),
        (late("whatever"), "upstream_timeout: no connection"),
    ],
)
def test_each_failure_has_its_reason(error: BaseException, reason: str) -> None:
    assert full_reason(explain_connect_error(error)) == reason
    # Libraries wrap some of them; what lies behind counts.
    if not isinstance(error, TimeoutError):
        assert full_reason(explain_connect_error(behind(error, OSError("x"), ValueError("x")))) == reason


@pytest.mark.parametrize(
    ("error", "reason", "words"),
    [
        (OSError(errno.ECONNREFUSED, "x"), "upstream_unreachable: egress proxy", "nothing listens there"),
        (unverified(20, "unable to get"), "upstream_unreachable: egress proxy", "unable to get"),
        (ValueError("x"), "upstream_unreachable: egress proxy", "it cannot be reached"),
        (OSError(errno.EMFILE, "x"), "overloaded: no files", "no file is left"),
    ],
)
def test_what_fails_on_the_way_to_the_egress_proxy_is_its_fault(
    error: BaseException, reason: str, words: str
) -> None:
    explained = explain_proxy_error(error)
    assert full_reason(explained) == reason
    assert words in explained.words


def test_what_is_late_by_the_egress_proxy_is_its_fault_whatever_was_waited_for() -> None:
    error = late(RESOLVING)
    assert error.__cause__ is not None
    error.__cause__.add_note(PASSING_PROXY)
    assert full_reason(explain_connect_error(error)) == "upstream_timeout: egress proxy"


def test_a_group_of_errors_is_looked_through() -> None:
    group = ExceptionGroup("all failed", [OSError(errno.ECONNREFUSED, "x"), OSError("y")])
    assert explain_connect_error(behind(group, OSError("All connection attempts failed"))).detail == "refused"


def test_where_it_began_counts() -> None:
    error = behind(ConnectionRefusedError(), ConnectionResetError())
    assert explain_connect_error(error).detail == "refused"


def test_an_error_of_ours_is_passed_on() -> None:
    error = UpstreamError("the file cannot be read", hint="look at it")
    assert explain_connect_error(error) is error


def test_errors_in_a_circle_are_looked_through_once() -> None:
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert find_fault(first) is None


def test_kinds_come_with_their_status() -> None:
    assert explain_connect_error(OSError(errno.ECONNREFUSED, "x")).status == 502
    assert isinstance(explain_connect_error(TimeoutError()), UpstreamTimeoutError)
    assert isinstance(explain_connect_error(OSError(errno.ENFILE, "x")), NoFilesError)
    assert NO_HTTP2.build_error().reason == "upstream_unreachable: no HTTP/2"
    assert full_reason(InvalidAnswerError("bad status")) == "upstream_invalid: bad status"


def test_a_client_is_told_no_name_and_the_operator_is() -> None:
    error = explain_connect_error(unverified(62, "not valid for 'db7.internal'"), "vllm")
    assert "db7.internal" not in error.message + error.reason
    assert "db7.internal" in error.words
    assert "fastgate routes update vllm --to" in error.hint
    assert error.explanation == f"{error.words}; {error.hint}"


def test_an_error_is_told_of_its_route_afterwards() -> None:
    hint = explain_connect_error(OSError(errno.ECONNREFUSED, "x")).hint
    assert name_route(hint, "vllm") == "start the backend, or: fastgate routes update vllm --to URL"


@pytest.mark.parametrize("name", ALL)
def test_each_fault_is_said_completely(name: str) -> None:
    fault = ALL[name]
    assert fault.message
    assert fault.words
    assert "{update}" not in fault.explain_remedy("x")
    assert len(fault.detail) <= 24
    assert not set(fault.detail) & set(":{}\n")


# Real servers: what OpenSSL of this machine says of them.

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]
CA = trustme.CA()


def server_context(name: str, ca: trustme.CA = CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert(name).configure_cert(context)
    return context


def client_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    CA.configure_trust(context)
    return context


async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    writer.close()


async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.close()


async def connect_to(
    serve: Serve, server: ssl.SSLContext | None, client: ssl.SSLContext | None = None
) -> UpstreamError:
    """Return what the failure of a TLS handshake with such a server is explained as."""
    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server)
    port = listening.sockets[0].getsockname()[1]
    try:
        with pytest.raises(OSError) as caught:  # noqa: PT011 - any
            await asyncio.open_connection("127.0.0.1", port, ssl=client or client_context())
    finally:
        listening.close()
    return explain_connect_error(caught.value)


def test_who_nobody_vouches_for_is_told_from_who_has_another_name() -> None:
    unknown = asyncio.run(connect_to(talk, server_context("127.0.0.1", trustme.CA())))
    assert unknown.detail == "unknown authority"
    misnamed = asyncio.run(connect_to(talk, server_context("other.example")))
    assert misnamed.detail == "wrong name"
    assert unknown.message != misnamed.message


def test_a_port_without_tls_is_told() -> None:
    assert asyncio.run(connect_to(talk, None)).detail == "not TLS"


def test_a_server_that_hangs_up_is_told() -> None:
    assert asyncio.run(connect_to(hang_up, None)).detail in ("TLS broken off", "reset")


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> UpstreamError:
    """Return what the client's failure is explained as, every byte of both having arrived."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server, server_hostname="127.0.0.1"),
        server.wrap_bio(to_server, to_client, server_side=True),
    )
    for _ in range(8):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError as error:
                if end is ends[0]:
                    return explain_connect_error(error)
    raise AssertionError("the handshake succeeded")


def test_a_server_of_old_versions_is_told() -> None:
    server, client = server_context("127.0.0.1"), client_context()
    server.maximum_version = ssl.TLSVersion.TLSv1_2
    client.minimum_version = ssl.TLSVersion.TLSv1_3
    assert shake_hands(server, client).detail == "TLS version"


def test_a_server_with_no_cipher_in_common_is_told() -> None:
    server, client = server_context("127.0.0.1"), client_context()
    for context, ciphers in ((server, "AES128-GCM-SHA256"), (client, "ECDHE+AESGCM")):
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(ciphers)
    assert shake_hands(server, client).detail == "TLS refused"
