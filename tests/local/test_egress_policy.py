"""Which destinations are permitted, and which names and settings lead to them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aca_node_interpreter.local.egress_names import Resolver, answer, usable
from aca_node_interpreter.local.egress_policy import Address, Allowed, Policy, read_address
from aca_node_interpreter.local.host_network import Service, read_host_network
from tests.machine import unavailable

REFUSED = """
    0.0.0.0 0.1.2.3 127.0.0.1 127.255.255.254 169.254.169.254 169.254.0.1 10.0.0.1 10.255.255.255 172.16.0.1
    172.31.255.255 192.168.0.1 192.168.255.255 100.64.0.1 100.127.255.255 100.100.100.200 168.63.129.16 192.0.0.192
    224.0.0.1 239.255.255.255 255.255.255.255
    :: ::1 fe80::1 febf::1 fc00::1 fd00:ec2::254 fdff::1 ff02::1 64:ff9b:1::a00:1
    ::ffff:127.0.0.1 ::ffff:169.254.169.254 ::ffff:10.0.0.1 ::127.0.0.1 ::10.0.0.1 ::ffff:0:10.0.0.1
    64:ff9b::127.0.0.1 64:ff9b::10.0.0.1 64:ff9b::169.254.169.254
    2002:7f00:1:: 2002:a00:1::1 2002:c0a8:101::1 2002:a9fe:a9fe::
    2001:0:a00:1::1 2001:0:808:808:0:0:f5ff:fffe
""".split()  # noqa: SIM905 - a table

PERMITTED = """
    8.8.8.8 1.1.1.1 9.255.255.255 11.0.0.0 172.15.255.255 172.32.0.0 192.167.255.255 192.169.0.0 100.63.255.255
    100.128.0.0 169.253.255.255 169.255.0.0 128.0.0.0 198.18.0.1 198.19.255.255 203.0.113.9 240.0.0.1 168.63.129.17
    2606:4700::1111 2001:db8::1 fbff::1 fe00::1 64:ff9b::8.8.8.8 2002:808:808::1 ::ffff:8.8.8.8
    2001:0:808:808:0:0:f7f7:f7f7
""".split()  # noqa: SIM905 - a table


@pytest.mark.parametrize("address", REFUSED)
def test_the_inside_is_refused(address: str) -> None:
    assert not Policy().permits(ip_address(address), 443)
    assert not Policy().permits(ip_address(address), None)


@pytest.mark.parametrize("address", PERMITTED)
def test_the_outside_is_permitted(address: str) -> None:
    assert Policy().permits(ip_address(address), 443)


def own_addresses() -> list[str]:
    found = []
    for family, elsewhere in ((socket.AF_INET, "198.51.100.1"), (socket.AF_INET6, "2001:db8::1")):
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((elsewhere, 9))
            except OSError:
                continue
            found.append(str(probe.getsockname()[0]))
    return found


def test_the_hosts_own_addresses_are_refused_in_every_form() -> None:
    own = own_addresses()
    if not own:
        unavailable("this machine has no address but loopback's")
    for text in own:
        address = read_address(text)
        assert not Policy().permits(address, 443), text
        if address.version == 4:
            packed = address.packed
            assert not Policy().permits(ip_address(f"::ffff:{text}"), 443)
            assert not Policy().permits(ip_address(f"64:ff9b::{text}"), 443)
            assert not Policy().permits(ip_address(b"\x20\x02" + packed + bytes(10)), 443)
        assert Policy(allow=(Allowed.parse(text),)).permits(address, 443)


@pytest.mark.parametrize(
    ("asked", "address", "port", "permitted"),
    [
        ("10.1.0.0/16", "10.1.2.3", 80, True),
        ("10.1.0.0/16", "::ffff:10.1.2.3", 80, True),
        ("10.1.0.0/16", "10.2.0.1", 80, False),
        ("10.1.0.0/16", "64:ff9b::10.1.2.3", 80, False),
        ("10.1.2.3", "10.1.2.3", 443, True),
        ("10.1.2.3:5432", "10.1.2.3", 5432, True),
        ("10.1.2.3:5432", "10.1.2.3", 443, False),
        ("10.1.2.3:5432", "10.1.2.3", None, True),
        ("127.0.0.1:8080", "127.0.0.1", 8080, True),
        ("127.0.0.1:8080", "127.0.0.2", 8080, False),
        ("fd00::/8", "fd00::1", 80, True),
        ("[fd00::1]:8080", "fd00::1", 8080, True),
        ("[fd00::1]:8080", "fd00::1", 80, False),
        ("[fd00::/8]", "fd00::1", 80, True),
        ("169.254.169.254", "169.254.169.254", 80, True),
    ],
)
def test_what_was_asked_for_is_permitted_and_no_more(
    asked: str, address: str, port: int | None, permitted: bool
) -> None:
    assert Policy(allow=(Allowed.parse(asked),)).permits(ip_address(address), port) is permitted


@pytest.mark.parametrize("text", ["", "example.org", "10.1.2.3/8", "10.1.2.3:0", "10.1.2.3:70000", "[fd00::1", "1:2:3"])
def test_what_is_no_network_is_told_with_the_forms(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a network that sessions may reach.*10\.1\.0\.0/16"):
        Allowed.parse(text)


def test_the_ports_are_those_of_the_web_and_what_was_asked_for() -> None:
    assert Policy().tcp_ports == (80, 443)
    allow = (Allowed.parse("10.0.0.1:5432"), Allowed.parse("10.0.0.2"))
    assert Policy(allow, (Service("proxy", 3128),), (443, 8443)).tcp_ports == (443, 3128, 5432, 8443)


def test_services_are_the_hosts_registry_and_proxies(tmp_path: Path) -> None:
    assert read_host_network({}, ()).services == ()
    for registry, service in (("https://bücher.example/", ("xn--bcher-kva.example", 443)), ("https://a..b/", None)):
        found = read_host_network({"npm_config_registry": registry}, ()).services
        assert found == ((service,) if service else ())
    npmrc = tmp_path / "npmrc"
    npmrc.write_text(
        "registry=http://me:secret@Localhost:4873/npm/\nhttps-proxy=http://[fd00::1]:3128\nproxy=http://x:y:z"
    )
    environment = {"https_proxy": "u:pw@proxy.example:8080", "ALL_PROXY": "socks5h://10.0.0.1", "NO_PROXY": "a,b"}
    assert read_host_network(environment, (npmrc,)).services == (
        Service("localhost", 4873),
        Service("fd00::1", 3128),
        Service("proxy.example", 8080),
        Service("10.0.0.1", 1080),
    )


def query(name: str, kind: str = "A") -> bytes:
    return dns.message.make_query(name, kind).to_wire()


async def ask(wire: bytes, found: Sequence[str] | socket.gaierror = ()) -> dns.message.Message:
    async def look_up(host: str) -> list[Address]:
        if isinstance(found, socket.gaierror):
            raise found
        return [ip_address(text) for text in found]

    response = await answer(wire, look_up)
    assert response is not None
    assert len(response) <= 512
    return dns.message.from_wire(response)


def told(message: dns.message.Message) -> list[str]:
    assert message.rcode() == dns.rcode.NOERROR
    return sorted(str(item) for each in message.answer for item in each)


async def test_each_type_gets_its_addresses_and_others_get_none() -> None:
    found = ["2001:db8::1", "192.0.2.7", "192.0.2.8"]
    assert told(await ask(query("Example.org"), found)) == found[1:]
    assert told(await ask(query("example.org", "AAAA"), found)) == found[:1]
    assert told(await ask(query("example.org", "AAAA"), found[1:])) == []
    assert told(await ask(query("example.org", "MX"), found)) == []
    assert told(await ask(dns.message.make_query("example.org", "A", "CH").to_wire(), found)) == []


async def test_an_answer_fits_into_the_smallest_message() -> None:
    name = ".".join(["a" * 63] * 3 + ["a" * 61])
    found = [f"2001:db8::{n:x}" for n in range(1, 100)]
    assert 0 < len(told(await ask(query(name, "AAAA"), found))) < 99


async def test_unknown_names_and_failures_differ() -> None:
    assert (await ask(query("no.example"), socket.gaierror(socket.EAI_NONAME, ""))).rcode() == dns.rcode.NXDOMAIN
    assert (await ask(query("no.example"), socket.gaierror(socket.EAI_AGAIN, ""))).rcode() == dns.rcode.SERVFAIL
    assert (await ask(query("no.example"), ())).rcode() == dns.rcode.NXDOMAIN
    assert (await ask(query(r"a\.b\000.example"), ["192.0.2.7"])).rcode() == dns.rcode.NXDOMAIN


@settings(database=None)
@given(st.binary(max_size=80) | st.binary(max_size=40).map(lambda tail: query("a.example")[:12] + tail))
def test_any_bytes_get_an_answer_or_none(garbage: bytes) -> None:
    async def look_up(host: str) -> list[Address]:
        return [ip_address("192.0.2.7")]

    response = asyncio.run(answer(garbage, look_up))
    assert response is None or dns.message.from_wire(response).flags & dns.flags.QR


async def test_answers_are_not_answered() -> None:
    response = dns.message.make_response(dns.message.make_query("a.example", "A")).to_wire()
    for wire in (response, b"", query("a.example")[:20]):
        assert await answer(wire, Resolver().look_up) is None


async def test_the_hosts_resolver_is_asked_once_for_both_types(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    real = socket.getaddrinfo

    def count(host: bytes, *rest: object, **options: object) -> object:
        calls.append(host)
        return real("127.0.0.1", *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", count)
    resolver = Resolver()
    try:
        both = await asyncio.gather(resolver.look_up("a.example"), resolver.look_up("a.example"))
    finally:
        resolver.close()
    assert [*both] == [[ip_address("127.0.0.1")]] * 2
    assert calls == [b"a.example"]


def test_ipv6_is_left_out_where_the_host_prefers_ipv4() -> None:
    four, six = ip_address("127.0.0.1"), ip_address("::1")
    assert usable([four, six]) == [four]
    assert usable([six, four]) == [six, four]
    # Without its interface, nobody can reach a link-local address.
    assert usable([ip_address("fe80::1"), four]) == [four]
