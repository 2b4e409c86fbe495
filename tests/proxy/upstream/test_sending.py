"""Tries over real sockets: which backend gets a request, how often, and when nobody gets it again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from typing import Any

import pytest

from proxy.errors import UpstreamError, UpstreamInvalidError, UpstreamTimeoutError
from proxy.policy.model import Route
from proxy.policy.routing import CompiledRoute, compile_route
from proxy.upstream.request import CHUNKED
from proxy.upstream.sending import KEPT_BYTES_MAX
from proxy.upstream.upstream import Upstream
from tests.ports import reserve_port
from tests.proxy.upstream import asking
from tests.proxy.upstream.asking import Asked, serving, stream, upstream_of

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
BUSY = b"HTTP/1.1 503 Busy\r\ncontent-length: 4\r\n\r\nbusy"


class Server:
    """Gives one answer for each request in turn, the last one for all others; b"" closes without a word."""

    def __init__(self, *answers: bytes | None) -> None:
        self.answers = list(answers)
        self.requests: list[bytes] = []
        self.asked = asyncio.Event()
        self.left = asyncio.Event()
        self.connections = 0
        self.host = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if b"transfer-encoding" in head:
                    head += await reader.readuntil(b"0\r\n\r\n")
                elif b"content-length: " in head:
                    head += await reader.readexactly(
                        int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
                    )
                self.requests.append(head)
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                self.asked.set()
                if answer == b"":
                    break
                writer.write(answer or b"")  # None: silence
        self.left.set()
        writer.close()


def make_route(*hosts: str, **wishes: Any) -> CompiledRoute:
    targets = tuple(f"http://{host}" for host in hosts[1:])
    return compile_route(Route("rt_1", "one", "/*", hosts[0], targets=targets, **wishes))


async def ask(
    upstream: Upstream,
    route: CompiledRoute,
    method: str = "GET",
    body: bytes | None = None,
    seconds: float = 2.0,
) -> tuple[int, str, int]:
    """Return the status, who answered and after how many tries."""
    return await answered(asking.ask(upstream, route, body, method=method, headers=(), seconds=seconds))


async def answered(asked: Asked) -> tuple[int, str, int]:
    await asked.whole()
    return asked.status, asked.sending.backend.host.decode(), asked.sending.tries


def run(test: Callable[..., Awaitable[None]], *servers: Callable[[], Server], **options: Any) -> None:
    options.setdefault("max_retries", 3)
    options.setdefault("chance", lambda: 0.0)

    async def with_servers() -> None:
        started = [make() for make in servers]
        async with upstream_of(**options) as upstream:
            await listen(upstream, started, [])
            assert not any(backend.in_flight for backend in upstream.backends._by_origin.values())

    async def listen(upstream: Upstream, waiting: list[Server], ready: list[Server]) -> None:
        if not waiting:
            await test(upstream, *ready)
            return
        async with serving(waiting[0].serve) as served:
            waiting[0].host = f"127.0.0.1:{served.port}"
            await listen(upstream, waiting[1:], [*ready, waiting[0]])

    asking.run(with_servers())


@pytest.mark.parametrize(
    ("pieces", "length"),
    [((), None), ((b"hello",), None), ((b"hello",), 5), ((b"hel", b"lo"), 5), ((b"hel", b"lo"), CHUNKED)],
    ids=["none", "bytes", "whole", "pieces", "chunked"],
)
def test_a_backend_that_cannot_be_reached_is_passed_over_and_the_next_gets_all_with_its_own_host(
    pieces: tuple[bytes, ...], length: int | None, refusing: str
) -> None:
    async def test(upstream: Upstream, server: Server) -> None:
        route = make_route(refusing, server.host)
        if length is None:
            asked = asking.ask(upstream, route, b"".join(pieces) or None, method="POST", headers=())
        else:
            asked = stream(upstream, route, method="POST", headers=(), length=length)
            for piece in pieces:
                asked.sending.send_body(piece)
            asked.sending.end_body()
        assert await answered(asked) == (200, server.host, 2)
        (request,) = server.requests
        assert b"host: %s\r\n" % server.host.encode() in request
        assert (not pieces) is (b"lo" not in request.partition(b"\r\n\r\n")[2])
        assert upstream.errors == {"unreachable": 1}

    run(test, lambda: Server(OK))


def test_a_body_for_which_there_is_no_connection_yet_is_kept_up_to_a_bound() -> None:
    async def test(upstream: Upstream, server: Server) -> None:
        asked = stream(upstream, make_route(server.host))
        asked.sending.send_body(b"x" * KEPT_BYTES_MAX)
        assert asked.is_held_back
        await asked.until(lambda: not asked.is_held_back)
        asked.sending.end_body()
        assert await asked.whole() == b"ok"

    run(test, lambda: Server(OK))


def test_a_host_that_the_route_sets_goes_to_every_backend(refusing: str) -> None:
    async def test(upstream: Upstream, server: Server) -> None:
        route = make_route(refusing, server.host, add_headers=(("host", "api.test"),))
        await ask(upstream, route)
        assert b"host: api.test\r\n" in server.requests[0]

    run(test, lambda: Server(OK))


def test_tries_end_when_nobody_is_left_or_the_configuration_says_so() -> None:
    async def test(upstream: Upstream) -> None:
        with pytest.raises(UpstreamError) as caught:
            await ask(upstream, make_route(*hosts[:2]))
        assert caught.value.code == "upstream_unreachable"
        assert upstream.errors == {"unreachable": 2}
        with pytest.raises(UpstreamError):
            await ask(upstream, make_route(*hosts, retry_count=5))
        assert upstream.errors == {"unreachable": 2 + 4}

    with ExitStack() as held:
        hosts = [f"127.0.0.1:{held.enter_context(reserve_port())}" for _ in range(8)]
        run(test)


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n"])
@pytest.mark.parametrize(
    ("method", "retry_count", "asked"),
    [("POST", 3, 1), ("PATCH", 3, 1), ("GET", 0, 1), ("GET", 1, 2), ("PUT", 2, 3)],
)
def test_what_may_have_been_received_is_sent_again_only_if_method_and_route_allow_it(
    method: str, retry_count: int, asked: int, answer: bytes
) -> None:
    async def test(upstream: Upstream, server: Server) -> None:
        route = make_route(server.host, retry_count=retry_count)
        with pytest.raises(UpstreamInvalidError):
            await ask(upstream, route, method, None if method == "GET" else b"body")
        assert len(server.requests) == asked
        assert upstream.errors == {"broken": asked}

    run(test, lambda: Server(answer))


def test_an_idle_connection_that_ends_on_reuse_costs_a_get_nothing_and_a_post_is_not_sent_twice() -> None:
    async def test(upstream: Upstream, server: Server) -> None:
        route = make_route(server.host)
        await ask(upstream, route)
        assert await ask(upstream, route) == (200, server.host, 2)
        assert (server.connections, len(server.requests)) == (2, 3)
        with pytest.raises(UpstreamInvalidError):
            await ask(upstream, route, "POST", b"body")
        assert len(server.requests) == 4
        assert upstream.errors == {"stale": 2}

    run(test, lambda: Server(OK, b"", OK, b""), max_retries=0)


@pytest.mark.parametrize(
    ("method", "retry_count", "sent"),
    [("PUT", 0, 1), ("PUT", 1, 2), ("GET", 0, 2), ("GET", 1, 2), ("GET", 2, 3)],
)
def test_an_idle_connection_that_ends_gives_no_try_on_top_of_those_of_the_route(
    method: str, retry_count: int, sent: int
) -> None:
    async def test(upstream: Upstream, server: Server) -> None:
        route = make_route(server.host, retry_count=retry_count)
        await ask(upstream, route)
        with pytest.raises(UpstreamInvalidError):
            await ask(upstream, route, method, b"body" if method == "PUT" else None)
        assert len(server.requests) == 1 + sent

    run(test, lambda: Server(OK, b""))


@pytest.mark.parametrize(
    ("backends", "retry_count", "sent"), [(1, 0, 1), (1, 2, 3), (2, 0, 2), (2, 1, 2), (3, 1, 2), (2, 2, 3)]
)
def test_a_status_is_retried_as_often_as_the_route_says_or_else_once_for_each_backend(
    backends: int, retry_count: int, sent: int
) -> None:
    async def test(upstream: Upstream, *servers: Server) -> None:
        hosts = [server.host for server in servers]
        route = make_route(*hosts, retry_count=retry_count, retry_statuses=frozenset((503,)))
        assert (await ask(upstream, route, "POST", b"body"))[0] == 503
        assert sum(len(server.requests) for server in servers) == sent

    run(test, *[lambda: Server(BUSY)] * backends)


def test_after_an_idle_connection_that_had_ended_no_other_idle_one_is_trusted() -> None:
    async def test(upstream: Upstream, server: Server) -> None:
        route = make_route(server.host)
        await asyncio.gather(ask(upstream, route), ask(upstream, route))
        assert await ask(upstream, route) == (200, server.host, 2)
        assert server.connections == 3

    run(test, lambda: Server(OK, OK, b"", OK))


@pytest.mark.parametrize("body", [b"body", None])
def test_a_status_that_the_route_names_is_retried_even_for_post(body: bytes | None) -> None:
    async def test(upstream: Upstream, server: Server) -> None:
        route = make_route(server.host, retry_count=1, retry_statuses=frozenset((503,)))
        assert (await ask(upstream, route, "POST", body))[0] == 200
        assert len(server.requests) == 2
        assert len(set(server.requests)) == 1

    run(test, lambda: Server(BUSY, OK))


@pytest.mark.parametrize("answer", [BUSY, b""])
def test_a_body_that_came_after_its_connection_is_nowhere_any_more(answer: bytes) -> None:
    connected = asyncio.Event()

    def note(event: str, _transport: object) -> None:
        if event == "complete":
            connected.set()

    async def test(upstream: Upstream, server: Server) -> None:
        route = make_route(server.host, retry_count=1, retry_statuses=frozenset((503,)))
        asked = stream(upstream, route, method="PUT", headers=())
        await connected.wait()
        asked.sending.send_body(b"body")
        asked.sending.end_body()
        if answer:
            assert (await answered(asked))[0] == 503
        else:
            assert isinstance(await asked.failure(), UpstreamInvalidError)
        assert len(server.requests) == 1

    run(test, lambda: Server(answer), observe=note)


def test_a_status_is_passed_on_when_the_route_does_not_name_it_or_tries_are_used_up() -> None:
    async def test(upstream: Upstream, server: Server) -> None:
        assert await ask(upstream, make_route(server.host, retry_count=2)) == (503, server.host, 1)
        route = make_route(server.host, retry_count=2, retry_statuses=frozenset((503,)))
        assert await ask(upstream, route) == (503, server.host, 3)

    run(test, lambda: Server(BUSY))


def test_a_status_turns_to_another_backend_at_once() -> None:
    async def test(upstream: Upstream, busy: Server, well: Server) -> None:
        route = make_route(busy.host, well.host, retry_statuses=frozenset((503,)))
        assert await ask(upstream, route) == (200, well.host, 2)

    waiting = BUSY.replace(b"\r\n\r\n", b"\r\nretry-after: 9\r\n\r\n")
    run(test, lambda: Server(waiting), lambda: Server(OK))


def test_a_backend_that_wants_to_be_left_alone_for_long_is() -> None:
    async def test(upstream: Upstream, server: Server) -> None:
        route = make_route(server.host, retry_count=1, retry_statuses=frozenset((503,)))
        assert await ask(upstream, route) == (503, server.host, 1)

    run(test, lambda: Server(BUSY.replace(b"\r\n\r\n", b"\r\nretry-after: 3600\r\n\r\n")))


@pytest.mark.parametrize("answer", [BUSY.replace(b"\r\n\r\n", b"\r\nretry-after: 9\r\n\r\n"), None])
def test_a_client_that_leaves_ends_the_wait_and_the_try(answer: bytes | None) -> None:
    async def test(upstream: Upstream, server: Server) -> None:
        route = make_route(server.host, retry_count=1, retry_statuses=frozenset((503,)))
        asked = asking.ask(upstream, route)
        await server.asked.wait()
        if answer:
            await asked.until(lambda: asked.sending._timer is not None)
        asked.sending.cancel()
        await server.left.wait()
        assert len(server.requests) == 1
        assert not asked.told

    run(test, lambda: Server(answer))


def test_a_client_that_leaves_while_connecting_ends_that() -> None:
    async def test(upstream: Upstream, server: Server) -> None:
        asked = asking.ask(upstream, make_route(server.host))
        asked.sending.cancel()
        await asyncio.sleep(0)
        asked = asking.ask(upstream, make_route(server.host))
        await asyncio.sleep(0)  # now it has begun
        asked.sending.cancel()
        await asyncio.sleep(0)
        assert not upstream._ways.connections
        assert not server.requests

    run(test, lambda: Server(OK))


def test_one_that_fails_again_and_again_is_tried_no_more_while_another_is_well(refusing: str) -> None:
    async def test(upstream: Upstream, server: Server) -> None:
        route = make_route(refusing, server.host)
        for _ in range(10):
            assert (await ask(upstream, route))[:2] == (200, server.host)
        assert upstream.errors == {"unreachable": 3}
        # A new snapshot has new routes; what is known of backends stays.
        again = make_route(route.route.target_host, server.host)
        assert await ask(upstream, again) == (200, server.host, 1)

    run(test, lambda: Server(OK))


def test_silence_counts_as_a_failure() -> None:
    async def test(upstream: Upstream, silent: Server, well: Server) -> None:
        route = make_route(silent.host, well.host)
        for _ in range(3):
            with pytest.raises(UpstreamTimeoutError):
                await ask(upstream, route, seconds=0.02)
        assert await ask(upstream, route, "POST", b"body") == (200, well.host, 1)

    run(test, lambda: Server(None), lambda: Server(OK))


@pytest.mark.parametrize(
    "answer",
    [None, b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\npart", BUSY[:-4] + b"busy"],
    ids=["before the head", "after the head", "between tries"],
)
def test_the_whole_exchange_is_bounded_by_the_total_time_out(answer: bytes | None) -> None:
    async def test(upstream: Upstream, server: Server) -> None:
        route = make_route(
            server.host, total_timeout_seconds=0.1, retry_count=3, retry_statuses=frozenset((503,))
        )
        if answer and answer.startswith(BUSY[:12]):
            # The wait would be longer than the time there is: the answer goes on as it is.
            assert (await ask(upstream, route))[0] == 503
        elif answer:
            with pytest.raises(UpstreamTimeoutError):
                await ask(upstream, route)
        else:
            with pytest.raises(UpstreamTimeoutError):
                await ask(upstream, route)
            assert upstream.find_plan(route).group.backends[0].failures == 1

    run(test, lambda: Server(answer), chance=lambda: 1.0)


def test_the_configured_total_time_out_holds_for_routes_without_one() -> None:
    async def test(upstream: Upstream, server: Server) -> None:
        with pytest.raises(UpstreamTimeoutError):
            await ask(upstream, make_route(server.host))

    run(test, lambda: Server(None), total_timeout=0.05)


def test_round_robin_goes_on_where_it_was_after_a_new_snapshot() -> None:
    async def test(upstream: Upstream, first: Server, second: Server) -> None:
        hosts = []
        for _ in range(4):
            route = make_route(first.host, second.host, balance="round-robin")
            hosts.append((await ask(upstream, route))[1])
        assert hosts == [first.host, second.host] * 2

    run(test, lambda: Server(OK), lambda: Server(OK))


def test_an_error_names_its_route_and_what_was_too_long(refusing: str) -> None:
    async def test(upstream: Upstream, server: Server) -> None:
        refused = await asking.ask(upstream, make_route(refusing)).failure()
        assert refused.hint == "start the backend, or: fastgate routes update one --to URL"
        silent = await asking.ask(upstream, make_route(server.host), seconds=0.02).failure()
        assert "fastgate routes update one --timeout" in silent.hint
        late = await asking.ask(upstream, make_route(server.host, total_timeout_seconds=0.02)).failure()
        assert "fastgate routes update one --total-timeout" in late.hint

    run(test, lambda: Server(None))


KEPT_SECONDS = 1.0


@pytest.mark.parametrize("rest", [0.3, 0.6, 0.9, 0.97, 0.99, 1.0, 1.01, 1.05])
def test_no_post_is_lost_or_sent_twice_around_the_time_when_a_backend_closes_as_it_has_said(
    rest: float,
) -> None:
    answer = OK.replace(b"\r\n\r\n", b"\r\nkeep-alive: timeout=1\r\n\r\n")
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(TimeoutError):
            while True:
                async with asyncio.timeout(KEPT_SECONDS):
                    heads.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(answer)

    async def work() -> None:
        async with serving(serve) as served, upstream_of() as upstream:
            route = make_route(f"127.0.0.1:{served.port}")
            for _ in range(2):
                posts = [asking.ask(upstream, route, method="POST") for _ in range(60)]
                for post in posts:
                    assert await post.whole() == b"ok"
                await asyncio.sleep(rest)  # what is tested: a real rest, and real clocks on both sides
            assert len(heads) == 120
            assert not upstream.errors

    asking.run(work())
