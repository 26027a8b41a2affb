"""Which destinations a session with egress may reach: the outside, and of the inside only what was asked for.

Refused are the host itself and the networks that only it and its neighbours should reach; an explicit list, so other
reserved ranges pass. An IPv6 address that carries an IPv4 address is refused with it.
"""

from __future__ import annotations

import errno
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

from .host_network import Service

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

REFUSED: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",  # "this host", which Linux takes for loopback
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local, where clouds keep their metadata
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",  # behind a carrier's NAT
        "168.63.129.16/32",  # Azure's host agent, from each of its virtual machines
        "192.0.0.192/32",  # Oracle's metadata
        "224.0.0.0/4",
        "255.255.255.255/32",
        "::/128",
        "::1/128",
        "fe80::/10",
        "fc00::/7",
        "ff00::/8",
        "64:ff9b:1::/48",  # a network's own NAT64, whose IPv4 addresses have no fixed place
    )
)

_NAT64 = IPv6Network("64:ff9b::/96")
_COMPATIBLE = IPv6Network("::/96")
_TRANSLATED = IPv6Network("::ffff:0:0:0/96")

WEB_PORTS = (80, 443)


@dataclass(frozen=True)
class Allowed:
    """A network that the user lets sessions reach, on one port or on all that egress listens on."""

    network: Network
    port: int | None = None

    @classmethod
    def parse(cls, text: str) -> Allowed:
        """Read `10.1.0.0/16`, `10.1.2.3`, `10.1.2.3:5432`, `fd00::/8` or `[fd00::1]:5432`.

        Raises:
            ValueError: it is none of these; the message shows it and them.
        """
        match = re.fullmatch(
            r"\[(?P<v6>[^\]]+)\](:(?P<port6>\d+))?|(?P<v4>[\d./]+)(:(?P<port4>\d+))?|(?P<bare>.*)", text
        )
        assert match is not None  # noqa: S101 - the last alternative takes everything
        port = match["port6"] or match["port4"]
        try:
            network = ip_network(match["v6"] or match["v4"] or match["bare"])
            if port is not None and not 0 < int(port) < 65536:
                raise ValueError(port)
        except ValueError:
            forms = "'10.1.0.0/16', '10.1.2.3:5432', 'fd00::/8' or '[fd00::1]:5432'"
            raise ValueError(f"{text!r} is not a network that sessions may reach: write it as {forms}.") from None
        return cls(network, int(port) if port else None)


@dataclass(frozen=True)
class Policy:
    """What the sessions of a pool may reach.

    `allow` are networks that are refused otherwise. `services` are what the host itself uses, by name and port; they
    can be reached wherever they are, the host's loopback included, on that port only. What a service does with a
    request is its own affair: through a proxy, sessions reach whatever the proxy reaches. `ports` are the TCP ports
    that pass besides those of `allow` and `services`.
    """

    allow: tuple[Allowed, ...] = ()
    services: tuple[Service, ...] = ()
    ports: tuple[int, ...] = WEB_PORTS

    @property
    def tcp_ports(self) -> tuple[int, ...]:
        """The ports to listen on in a session's network."""
        asked = (allowed.port for allowed in self.allow if allowed.port is not None)
        return tuple(sorted({*self.ports, *asked, *(service.port for service in self.services)}))

    def permits(self, address: Address, port: int | None) -> bool:
        """Tell whether sessions may reach an address for its own sake; `None` asks for any port.

        Services are not looked at: they have names, which must be looked up.
        """
        address = unmapped(address)
        for allowed in self.allow:
            if address in allowed.network and (port is None or allowed.port in (None, port)):
                return True
        return not any(_is_inside(form) for form in (address, *_embedded(address)))

    def is_service(self, host: str) -> bool:
        """Tell whether a service has this name."""
        return any(service.host == host for service in self.services)


def read_address(text: str) -> Address:
    """Read an address as the kernel gives it, with the IPv4 address that it may stand for."""
    return unmapped(ip_address(text.partition("%")[0]))


def unmapped(address: Address) -> Address:
    """Give the IPv4 address for its form in IPv6, `::ffff:a.b.c.d`: to the kernel they are the same."""
    return getattr(address, "ipv4_mapped", None) or address


def _embedded(address: Address) -> Iterator[IPv4Address]:
    """Give the IPv4 addresses that traffic to an IPv6 address may end at."""
    if isinstance(address, IPv4Address):
        return
    if address in _NAT64 or address in _COMPATIBLE or address in _TRANSLATED:
        yield IPv4Address(address.packed[-4:])
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo


def _is_inside(address: Address) -> bool:
    return any(address in network for network in REFUSED) or _is_the_hosts(address)


def _is_the_hosts(address: Address) -> bool:
    """Tell whether an address belongs to this machine: only such can be bound to.

    With the kernel's setting `ip_nonlocal_bind` all can, and then all count as this machine's.
    """
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError as error:
        # Any other failure says nothing, and then the answer must be the careful one.
        return error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
    return True
