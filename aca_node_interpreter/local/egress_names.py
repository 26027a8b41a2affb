"""Names for sessions with egress: the host's own resolver, asked by DNS messages.

Only A and AAAA are looked up; other types have an empty answer. Nothing is cached.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import dns.exception
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from .egress_policy import Address, read_address

TTL_SECONDS = 10
# What fits into the 512 bytes that every client takes, with the longest name.
_MAX_ADDRESSES = 8
_THREADS = 4
_HOST_NAME = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_UNKNOWN = (socket.EAI_NONAME, socket.EAI_NODATA)
_VERSIONS = {dns.rdatatype.A: 4, dns.rdatatype.AAAA: 6}


class Resolver:
    """The host's resolver for one session, in a few threads of its own: nobody else waits for its slow names."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="aca-node-names")
        self._running: dict[str, asyncio.Future[list[Address]]] = {}

    async def look_up(self, host: str) -> list[Address]:
        """Give the addresses of a name, the one that this host would try first first.

        Raises:
            socket.gaierror: there are none, or the resolver does not answer.
        """
        lookup = self._running.get(host)
        if lookup is None:
            # A and AAAA are asked for at the same time; one look-up gives both.
            lookup = asyncio.get_running_loop().run_in_executor(self._threads, _look_up, host)
            self._running[host] = lookup
            lookup.add_done_callback(lambda _: self._running.pop(host))
        return await asyncio.shield(lookup)

    def close(self) -> None:
        """Start no more look-ups."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str) -> list[Address]:
    # Bytes, because Python would put text through the IDNA codec, which has its own limits and errors.
    found = socket.getaddrinfo(host.encode("ascii"), None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(read_address(str(address[0])) for *_, address in found))


def usable(addresses: Sequence[Address]) -> list[Address]:
    """Leave out the addresses that this host has no route to, and IPv6 where the host prefers IPv4.

    In a session every connection begins well, so a client never finds out that it should try the other family.
    """
    routed = [address for address in addresses if _has_route(address)]
    if routed and routed[0].version == 4:
        return [address for address in routed if address.version == 4]
    return routed


def _has_route(address: Address) -> bool:
    try:
        with socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.connect((str(address), 53))
    except OSError:
        return False
    return True


async def answer(query: bytes, look_up: Callable[[str], Awaitable[Sequence[Address]]]) -> bytes | None:
    """Answer one DNS message; `None` for what is not a question.

    `look_up` gives the addresses that may be told, or raises `socket.gaierror`.
    """
    try:
        message = dns.message.from_wire(query, question_only=True)
    except dns.exception.DNSException:
        return None
    if message.flags & dns.flags.QR or message.opcode() != dns.opcode.QUERY or len(message.question) != 1:
        return None
    response = dns.message.make_response(message, recursion_available=True)
    (question,) = message.question
    version = _VERSIONS.get(question.rdtype)
    if version is not None and question.rdclass == dns.rdataclass.IN:
        code, addresses = await _addresses(question.name.to_text(omit_final_dot=True), look_up)
        response.set_rcode(code)
        texts = [str(address) for address in addresses if address.version == version][:_MAX_ADDRESSES]
        if texts:
            response.answer.append(
                dns.rrset.from_text_list(question.name, TTL_SECONDS, question.rdclass, question.rdtype, texts)
            )
    return response.to_wire()


async def _addresses(
    name: str, look_up: Callable[[str], Awaitable[Sequence[Address]]]
) -> tuple[dns.rcode.Rcode, Sequence[Address]]:
    if not _HOST_NAME.fullmatch(name):
        return dns.rcode.NXDOMAIN, ()
    try:
        addresses = await look_up(name.lower())
    except socket.gaierror as error:
        return dns.rcode.NXDOMAIN if error.errno in _UNKNOWN else dns.rcode.SERVFAIL, ()
    # A name that has only addresses that may not be told does not exist.
    return dns.rcode.NOERROR if addresses else dns.rcode.NXDOMAIN, addresses
