"""What a failed connection means, from the real errors of real sockets where there can be some."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl

import httpx
import pytest
import trustme

from proxy.errors import NoFilesError, UpstreamError, UpstreamTimeoutError
from proxy.relay.diagnosis import diagnose
from proxy.relay.direct import DirectTransport


def wrap(cause: BaseException, error: BaseException | None = None) -> BaseException:
    """Return an error as the transports raise it: with the cause behind it."""
    outer = error or UpstreamError("the backend cannot be reached")
    middle = httpx.ConnectError("")
    middle.__cause__, outer.__cause__ = cause, middle
    return outer


def chained(outer: BaseException, cause: BaseException) -> BaseException:
    outer.__cause__ = cause
    return outer


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (wrap(ConnectionRefusedError(errno.ECONNREFUSED, "refused")), "nothing listens"),
        (wrap(OSError("Multiple exceptions: [Errno 111] a, [Errno 111] b")), "nothing listens"),
        (wrap(socket.gaierror(-2, "Name or service not known")), "name cannot be resolved"),
        (wrap(OSError(errno.ENETUNREACH, "x")), "network"),
        (wrap(OSError(errno.EHOSTUNREACH, "x")), "host"),
        (wrap(ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number")), "does not speak TLS"),
        (wrap(UnicodeError("label too long")), "cannot be reached"),
        (chained(UpstreamTimeoutError("x"), httpx.ConnectTimeout("")), "did not accept"),
        (chained(UpstreamTimeoutError("x"), httpx.ReadTimeout("")), "silent"),
        (chained(UpstreamTimeoutError("x"), TimeoutError()), "longer than it may"),
        (chained(UpstreamError("x"), httpx.ProxyError("")), "egress proxy"),
        (chained(UpstreamError("x"), httpx.RemoteProtocolError("")), "did not speak HTTP"),
        (NoFilesError("x"), "no file is left"),
        (UpstreamError("the file is odd", hint="look at ${file:x}"), "the file is odd"),
        (TimeoutError(), "did not accept"),
    ],
)
def test_each_failure_has_its_words_and_something_to_do(error: BaseException, words: str) -> None:
    what, remedy = diagnose(error, "rt_1")
    assert words in what
    assert remedy
    assert "{update}" not in what + remedy


def test_the_remedy_names_the_route() -> None:
    _, remedy = diagnose(wrap(ConnectionRefusedError(errno.ECONNREFUSED, "refused")), "rt_1")
    assert "fastgate routes update rt_1 --to" in remedy


def test_an_error_that_goes_round_in_a_circle_is_looked_through_once() -> None:
    first, second = UpstreamError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert diagnose(first, "rt_1")[1]


async def connect_to(context: ssl.SSLContext | None) -> BaseException:
    """Return what the transport raises when it is to speak TLS with such a server."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-none\r\n")
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    transport = DirectTransport(ssl.create_default_context())
    timeouts = {"connect": 5.0, "read": 5.0, "write": 5.0, "pool": 5.0}
    extensions = {"target": b"/", "timeout": timeouts}
    request = httpx.Request("GET", f"https://127.0.0.1:{port}", extensions=extensions)
    try:
        with pytest.raises(httpx.TransportError) as caught:
            await transport.handle_async_request(request)
    finally:
        server.close()
    return caught.value


def test_a_certificate_of_nobody_is_not_trusted() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    what, remedy = diagnose(asyncio.run(connect_to(context)), "rt_1")
    assert what.startswith("its certificate is not trusted: ")
    assert "--tls-ca" in remedy


def test_a_certificate_of_another_name_is_not_trusted() -> None:
    what, _ = diagnose(wrap(_misnamed()), "rt_1")
    assert "IP address mismatch" in what


def _misnamed() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "IP address mismatch, certificate is not valid for '127.0.0.1'."
    return error


def test_what_speaks_no_tls_is_told_from_what_is_not_trusted() -> None:
    what, remedy = diagnose(asyncio.run(connect_to(None)), "rt_1")
    assert what.startswith("it does not speak TLS")
    assert "--to http://" in remedy
