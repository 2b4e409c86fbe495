"""Forwarding headers: whom to believe, and who the client is behind proxies."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.policy.forwarded import (
    HOPS_MAX,
    KNOWN_MAX,
    Forwarded,
    TrustedProxies,
    build_trusted_proxies,
    resolve_client,
)
from proxy.policy.model import HeaderPairs, RequestHead

PROXY = "10.0.0.1"
NETWORKS = ("10.0.0.0/8", "192.0.2.7/32", "fd00::/8")


def trust(*networks: str) -> TrustedProxies:
    made = build_trusted_proxies([ip_network(network) for network in networks or NETWORKS])
    assert made is not None
    return made


def resolve(*headers: tuple[bytes, bytes], peer: str = PROXY) -> Forwarded | None:
    return resolve_client(RequestHead("GET", b"/", b"", headers, peer=peer), trust())


def resolve_chain(*lines: bytes, peer: str = PROXY) -> tuple[str, bytes]:
    found = resolve(*((b"x-forwarded-for", line) for line in lines), peer=peer)
    assert found is not None
    return found.client, found.chain


def test_nobody_is_trusted_where_no_network_is() -> None:
    assert build_trusted_proxies([]) is None


@pytest.mark.parametrize(
    "peer", ["203.0.113.9", "192.0.2.8", "11.0.0.0", "fe80::1", "", "unix", "10.0.0.1.2"]
)
def test_a_peer_that_is_not_trusted_is_not_believed(peer: str) -> None:
    assert resolve((b"x-forwarded-for", b"198.51.100.1"), peer=peer) is None


@pytest.mark.parametrize(
    ("lines", "client", "chain"),
    [
        ((), PROXY, b"10.0.0.1"),
        ((b"",), PROXY, b"10.0.0.1"),
        ((b"203.0.113.9",), "203.0.113.9", b"203.0.113.9, 10.0.0.1"),
        ((b"203.0.113.9, 10.2.3.4",), "203.0.113.9", b"203.0.113.9, 10.2.3.4, 10.0.0.1"),
        ((b"203.0.113.9", b"10.2.3.4"), "203.0.113.9", b"203.0.113.9, 10.2.3.4, 10.0.0.1"),
        # What the client itself wrote stands to the left of what the proxies saw.
        ((b"1.1.1.1,203.0.113.9,10.2.3.4",), "203.0.113.9", b"1.1.1.1, 203.0.113.9, 10.2.3.4, 10.0.0.1"),
        ((b"10.9.9.9, 10.2.3.4",), "10.9.9.9", b"10.9.9.9, 10.2.3.4, 10.0.0.1"),
        ((b"203.0.113.9:4711",), "203.0.113.9", b"203.0.113.9, 10.0.0.1"),
        ((b"[2001:db8::1]:443",), "2001:db8::1", b"2001:db8::1, 10.0.0.1"),
        ((b"2001:DB8:0::1",), "2001:db8::1", b"2001:db8::1, 10.0.0.1"),
        ((b"::ffff:203.0.113.9",), "203.0.113.9", b"203.0.113.9, 10.0.0.1"),
        ((b"203.0.113.9, ::ffff:10.2.3.4",), "203.0.113.9", b"203.0.113.9, 10.2.3.4, 10.0.0.1"),
        ((b" ,203.0.113.9\t,, ",), "203.0.113.9", b"203.0.113.9, 10.0.0.1"),
    ],
)
def test_the_client_is_the_right_most_address_that_is_not_trusted(
    lines: tuple[bytes, ...], client: str, chain: bytes
) -> None:
    assert resolve_chain(*lines) == (client, chain)


@pytest.mark.parametrize(
    "nonsense",
    [
        b"unknown",
        b"_hidden",
        b"1.2.3",
        b"1.2.3.4.5",
        b"<script>",
        b"fe80::1%eth0",
        b"\xb2.0.0.1",
        b"1" * 300,
        b"1.2.3.4:port",
        b"[::1",
        b"01.2.3.4",
        b'"1.2.3.4"',
        b"for=1.2.3.4",
    ],
)
def test_nonsense_in_a_chain_hides_nothing_that_the_proxies_saw(nonsense: bytes) -> None:
    assert resolve_chain(b"1.1.1.1, " + nonsense + b", 203.0.113.9") == (
        "203.0.113.9",
        b"203.0.113.9, 10.0.0.1",
    )
    assert resolve_chain(nonsense) == (PROXY, b"10.0.0.1")


@pytest.mark.parametrize("peer", ["fd12::1", "::ffff:10.0.0.1", "192.0.2.7"])
def test_networks_of_both_versions_are_trusted_and_mapped_addresses_are_what_they_map(peer: str) -> None:
    assert resolve_chain(b"203.0.113.9", peer=peer)[0] == "203.0.113.9"


def test_a_network_of_mapped_addresses_is_the_one_that_it_maps() -> None:
    assert trust("::ffff:10.0.0.0/104").contains(ip_address("10.1.2.3"))
    assert not trust("::ffff:10.0.0.0/104").contains(ip_address("11.1.2.3"))


@pytest.mark.parametrize("network", ["0.0.0.0/0", "::/0"])
def test_a_network_of_everybody_is_of_its_own_version_only(network: str) -> None:
    v4, v6 = ip_address("203.0.113.9"), ip_address("2001:db8::1")
    assert [trust(network).contains(address) for address in (v4, v6)] == [":" not in network, ":" in network]


def test_a_chain_that_is_too_long_keeps_its_right_end() -> None:
    hops = [f"10.1.{number // 256}.{number % 256}" for number in range(HOPS_MAX + 5)]
    client, chain = resolve_chain(", ".join(["203.0.113.9", *hops]).encode())
    assert chain == ", ".join([*hops[-HOPS_MAX:], PROXY]).encode()
    assert client == hops[5]


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        (b"x-forwarded-proto", b"https", b"https"),
        (b"x-forwarded-proto", b"HTTPS ", b"https"),
        (b"x-forwarded-proto", b"https, http", b""),
        (b"x-forwarded-proto", b"javascript", b""),
        (b"x-forwarded-proto", b"", b""),
        (b"x-forwarded-host", b"api.Example.com:8443", b"api.example.com:8443"),
        (b"x-forwarded-host", b"[2001:db8::1]", b"[2001:db8::1]"),
        (b"x-forwarded-host", b"a.example, b.example", b""),
        (b"x-forwarded-host", b"evil@example.com", b""),
        (b"x-forwarded-host", b"example.com/x", b""),
    ],
)
def test_scheme_and_host_are_kept_if_they_are_well_formed(name: bytes, value: bytes, kept: bytes) -> None:
    found = resolve((name, value))
    assert found is not None
    assert (found.scheme if name.endswith(b"proto") else found.host) == kept


@pytest.mark.parametrize("name", [b"x-forwarded-proto", b"x-forwarded-host"])
def test_what_is_said_twice_is_not_kept(name: bytes) -> None:
    found = resolve((name, b"http"), (name, b"http"))
    assert found is not None
    assert (found.host, found.scheme) == (b"", b"")


def test_no_other_kind_of_forwarding_header_is_believed() -> None:
    found = resolve((b"forwarded", b"for=203.0.113.9"), (b"x-real-ip", b"203.0.113.9"))
    assert found == Forwarded(PROXY, PROXY.encode())


ADDRESS = st.one_of(st.ip_addresses(), st.ip_addresses(network="10.0.0.0/8"))
HOP = st.one_of(
    ADDRESS.map(str), st.sampled_from(["", "unknown", "10.0.0.1:80", "fe80::1%1"]), st.text(max_size=9)
)
CHAIN = st.lists(HOP, max_size=6).map(lambda hops: ",".join(hops).encode("utf-8"))


@settings(max_examples=200)
@given(lines=st.lists(CHAIN, max_size=3), seen=st.ip_addresses(v=4, network="203.0.113.0/24"))
def test_whatever_a_client_sends_the_address_that_the_proxy_saw_is_the_client(
    lines: list[bytes], seen: object
) -> None:
    assert resolve_chain(*lines, str(seen).encode(), b"10.7.7.7")[0] == str(seen)


def read_headers(lines: list[bytes]) -> HeaderPairs:
    return [(b"x-forwarded-for", line) for line in lines]


@settings(max_examples=200)
@given(lines=st.lists(st.one_of(CHAIN, st.binary(max_size=40)), max_size=4))
def test_a_chain_on_its_way_is_bounded_plain_addresses_that_end_in_the_peer(lines: list[bytes]) -> None:
    found = resolve(*read_headers(lines))
    assert found is not None
    hops = [ip_address(hop) for hop in found.chain.decode("ascii").split(", ")]
    assert len(hops) <= HOPS_MAX + 1
    assert str(hops[-1]) == PROXY
    assert ip_address(found.client) in hops


def test_addresses_are_remembered_within_a_bound_and_read_the_same_again() -> None:
    trusted = trust("10.0.0.0/8")
    texts = [f"10.{number // 65536}.{number // 256 % 256}.{number % 256}" for number in range(KNOWN_MAX + 9)]
    for _ in range(2):
        assert [trusted.look_up(text) for text in texts] == [(text, True) for text in texts]
        assert trusted.look_up("203.0.113.9") == ("203.0.113.9", False)
        assert trusted.look_up("nonsense") is None
    assert trusted.look_up("1" * 10_000) is None
    assert "10.0" not in repr(trusted)
    assert len(trusted._known) <= KNOWN_MAX
    assert max(map(len, trusted._known)) < 100
