"""Who a request comes from, when a proxy in front of the gateway says so.

`X-Forwarded-*` is believed of a peer in `security.trusted_proxies` and of nobody else: without such a peer
what a client writes there is dropped, and reaches neither the backend nor the audit row. `Forwarded`
(RFC 7239) and `X-Real-IP` are never believed: a proxy states one kind and passes the others on as its client
sent them.

A chain is read from its right end, where each proxy appends what it saw. The first part that cannot be read
ends it: a client that sends nonsense hides nothing, since what the proxies appended stands to the right.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import msgspec

from proxy.policy.framing import is_host
from proxy.policy.model import RequestHead

HOPS_MAX = 32  # of a chain, from its right end
KNOWN_MAX = 4096  # addresses that are remembered; all are forgotten when there are more
_ADDRESS_LENGTH_MAX = 80
_WITH_PORT = re.compile(r"(?:\[([^\]]+)\]|([0-9.]+))(?::[0-9]{1,5})?")
_SCHEMES = frozenset((b"http", b"https"))
_MAPPED_BITS = 96  # ::ffff:0:0/96 holds the IPv4 addresses (RFC 4291 section 2.5.5.2)

Address = IPv4Address | IPv6Address


class Forwarded(msgspec.Struct, frozen=True):
    """What a trusted proxy says of a request. `chain` is the whole `X-Forwarded-For` for the backend.

    `host` and `scheme` are empty where the proxy did not say, or not in a form that can be.
    """

    client: str
    chain: bytes
    host: bytes = b""
    scheme: bytes = b""


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """The networks of `security.trusted_proxies`: for each version and prefix length a set of numbers.

    What was found of an address is remembered: a proxy and its clients come again and again, and reading an
    address takes longer than all else that is done with it.
    """

    networks: tuple[tuple[int, int, frozenset[int]], ...]  # version, bits of the host part, prefixes
    _known: dict[str, tuple[str, bool] | None] = field(default_factory=dict, repr=False, compare=False)

    def contains(self, address: Address) -> bool:
        """Tell whether an address, not a mapped one, is in one of the networks."""
        number = int(address)
        return any(
            version == address.version and number >> bits in prefixes
            for version, bits, prefixes in self.networks
        )

    def look_up(self, text: str) -> tuple[str, bool] | None:
        """Return an address in its plain form and whether it is trusted, or None for what is none."""
        try:
            return self._known[text]
        except KeyError:
            pass
        if len(text) > _ADDRESS_LENGTH_MAX:
            return None
        if len(self._known) == KNOWN_MAX:
            self._known.clear()
        address = _parse_address(text)
        found = None if address is None else (str(address), self.contains(address))
        self._known[text] = found
        return found


def build_trusted_proxies(networks: Iterable[IPv4Network | IPv6Network]) -> TrustedProxies | None:
    """Compile the networks; None if there are none, so that the usual case costs one look at it."""
    found: dict[tuple[int, int], set[int]] = {}
    for network in networks:
        plain = _unmap_network(network)
        bits = plain.max_prefixlen - plain.prefixlen
        found.setdefault((plain.version, bits), set()).add(int(plain.network_address) >> bits)
    if not found:
        return None
    return TrustedProxies(tuple((*key, frozenset(prefixes)) for key, prefixes in found.items()))


def resolve_client(head: RequestHead, trusted: TrustedProxies) -> Forwarded | None:
    """Return what the peer says of the request's origin, or None if the peer is nobody to believe."""
    peer = trusted.look_up(head.peer)
    if peer is None or not peer[1]:
        return None
    lines, hosts, schemes = [], [], []
    for name, value in head.headers:
        if name == b"x-forwarded-for":
            lines.append(value)
        elif name == b"x-forwarded-host":
            hosts.append(value.strip(b" \t").lower())
        elif name == b"x-forwarded-proto":
            schemes.append(value.strip(b" \t").lower())
    client, chain = _follow_chain(lines, peer[0], trusted)
    return Forwarded(
        client=client,
        chain=chain.encode(),
        host=hosts[0] if len(hosts) == 1 and is_host(hosts[0]) else b"",
        scheme=schemes[0] if len(schemes) == 1 and schemes[0] in _SCHEMES else b"",
    )


def _unmap_network(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if mapped is None or network.prefixlen < _MAPPED_BITS:
        return network
    return IPv4Network((mapped, network.prefixlen - _MAPPED_BITS))


def _follow_chain(lines: list[bytes], peer: str, trusted: TrustedProxies) -> tuple[str, str]:
    """Return the client, and the readable right end of the chain with the peer after it.

    The proxies that are trusted stand to the right of the client; what is left of it only the client says.
    """
    client, chain, hops, is_found = peer, peer, 0, False
    for part in reversed(b",".join(lines).split(b",")):
        text = part.strip(b" \t")
        if not text:  # RFC 9110 section 5.6.1: a list may have empty elements
            continue
        # A zone (`fe80::1%eth0`) means something on the machine that has it only.
        hop = None if b"%" in text else trusted.look_up(text.decode("latin-1"))
        if hop is None or hops == HOPS_MAX:
            break
        hops += 1
        chain = f"{hop[0]}, {chain}"
        if not is_found:
            client, is_found = hop[0], not hop[1]
    return client, chain


def _parse_address(text: str) -> Address | None:
    """Return an address, written alone or with a port; a mapped IPv4 address as the IPv4 address it is."""
    if with_port := _WITH_PORT.fullmatch(text):
        text = with_port[1] or with_port[2]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address
