"""Real Node.js in a network of its own: what it reaches through the relay, and what it does not."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import errno
import json
import os
import resource
import socket
import ssl
import struct
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from aca_node_interpreter.local import egress
from aca_node_interpreter.local.egress_policy import Allowed, Policy
from aca_node_interpreter.local.host_network import Service
from aca_node_interpreter.local.isolation.bubblewrap import find_programs
from aca_node_interpreter.local.node import find_node
from tests.local.session_network import EVERYONE, As, NetworkDeniedError, session
from tests.local.test_egress_policy import own_addresses
from tests.machine import unavailable

NODE = find_node()
NAMES = {
    b"registry.test": ["127.0.0.1"],
    b"hidden.test": ["10.1.2.3"],
    b"outside.test": ["203.0.113.9"],
    b"both.test": ["::1", "127.0.0.1"],
}

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

# Prints what became of each step as one JSON list.
PRELUDE = """
const net = require('net'), dns = require('dns'), https = require('https')
const connect = (port, host, options) => new Promise((resolve) => {
  const socket = net.connect({ port, host, ...options })
  socket.on('error', (error) => resolve(error.code))
  socket.on('data', (data) => resolve(String(data)))
  socket.on('end', () => resolve('end'))
})
const show = async (...steps) => {
  const results = [], code = (error) => error.cause?.code ?? error.code ?? String(error)
  for (const step of steps) results.push(await step().catch(code))
  console.log(JSON.stringify(results))
}
"""


@pytest.fixture(autouse=True)
async def needs_a_network() -> None:
    """Keep the tests for machines on which a network can be made at all."""
    try:
        async with session(Policy(), "true"):
            pass
    except NetworkDeniedError as error:
        unavailable(str(error))


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the host know these names, and no others."""
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, *rest: Any, **options: Any) -> Any:
        if host in NAMES:
            return [found for address in NAMES[host] for found in real(address, *rest, **options)]
        if isinstance(host, bytes) and not host[:1].isdigit():
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return real(host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@contextlib.asynccontextmanager
async def server(
    handler: Handler, listener: socket.socket | None = None, context: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """Listen on this host's loopback, or as said; gives the port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await handler(reader, writer)
        writer.close()

    listener = listener or socket.create_server(("127.0.0.1", 0), backlog=100)
    listening = await asyncio.start_server(serve, sock=listener, ssl=context)
    try:
        yield listener.getsockname()[1]
    finally:
        listening.close()


async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"hello")
    await writer.drain()


async def answer_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello")
    await writer.drain()


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


async def run(policy: Policy, steps: str, **options: Any) -> Any:
    """Run steps of JavaScript in a session's network; gives what became of each."""
    async with session(policy, NODE.executable, "-e", f"{PRELUDE}\n{steps}", **options) as running:
        return json.loads(await running.output())


def loopback(*ports: int) -> Policy:
    return Policy(services=tuple(Service("127.0.0.1", port) for port in ports))


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that every user can read; pytest's own can only be read by one."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def certificate(public: Path) -> tuple[Path, ssl.SSLContext]:
    """An authority's file, and the context of a server that it speaks for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "registry.test")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("registry.test")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    authority, private = public / "authority.pem", public / "key.pem"
    authority.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority, private)
    return authority, context


@pytest.fixture
def resolver_settings(public: Path) -> Path:
    """The /etc/resolv.conf of a session."""
    file = public / "resolv.conf"
    file.write_text("nameserver 127.0.0.1\n")
    return file


def bubblewrap(resolver: Path, authority: Path) -> list[str]:
    """Build a command that runs another in bubblewrap, as sessions with a network do."""
    programs = find_programs()
    if not programs:
        unavailable("bubblewrap is not installed")
    command = [programs[-1], "--unshare-user", "--disable-userns", "--unshare-all", "--share-net", "--cap-drop", "ALL"]
    command += ["--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]
    command += ["--ro-bind", str(resolver), str(Path("/etc/resolv.conf").resolve())]
    return [*command, "--ro-bind", str(authority), "/tmp/authority.pem", "--"]


@pytest.mark.parametrize("run_as", EVERYONE, ids=lambda run_as: run_as.name)
async def test_fetch_https_and_names_work_as_they_are(
    run_as: As, names: None, certificate: tuple[Path, ssl.SSLContext], resolver_settings: Path
) -> None:
    authority, context = certificate
    async with server(answer_http) as plain, server(answer_http, context=context) as secure:
        policy = Policy(services=(Service("registry.test", plain), Service("registry.test", secure)))
        steps = f"""show(
          async () => (await dns.promises.lookup('registry.test')).address,
          async () => (await fetch('http://registry.test:{plain}/')).text(),
          () => new Promise((resolve, reject) => https.get('https://registry.test:{secure}/', (response) =>
            response.on('data', (data) => resolve(String(data)))).on('error', reject)),
          () => dns.promises.lookup('unknown.test'),
          () => dns.promises.resolve6('registry.test'),
          () => dns.promises.resolveMx('registry.test'),
        )"""
        command = [*bubblewrap(resolver_settings, authority), str(NODE.executable), "-e", PRELUDE + steps]
        environment = {"NODE_EXTRA_CA_CERTS": "/tmp/authority.pem"}
        async with session(policy, *command, run_as=run_as, environment=environment) as running:
            results = json.loads(await running.output())
    assert results == ["127.0.0.1", "hello", "hello", "ENOTFOUND", "ENODATA", "ENODATA"]


async def test_the_host_is_refused_by_every_address_unless_asked_for() -> None:
    own = own_addresses()
    everywhere = socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    async with server(greet, everywhere) as port:
        forms = ["127.0.0.1", "127.1.2.3", "0.0.0.0", "::1", "::ffff:127.0.0.1", "localhost", *own]  # noqa: S104
        for address in forms:
            assert await asyncio.to_thread(greeting, address, port) == b"hello", address
        steps = f"show(...{json.dumps(forms)}.map((address) => () => connect({port}, address)))"
        assert await run(Policy(ports=(port,)), steps) == ["ECONNRESET"] * len(forms)
        for address in own:
            written = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
            results = await run(Policy(allow=(Allowed.parse(written),)), steps)
            assert dict(zip(forms, results, strict=True)) == {
                each: "hello" if each == address else "ECONNRESET" for each in forms
            }


def greeting(address: str, port: int) -> bytes:
    with socket.create_connection((address, port), timeout=10) as connection:
        return connection.recv(100)


async def test_the_inside_is_not_even_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = ["169.254.169.254", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "fd00::1", "::"]
    wanted += ["::ffff:10.0.0.1", "64:ff9b::a9fe:a9fe", "2002:a00:1::1", "168.63.129.16"]
    tried: list[Any] = []

    async def connect(_: Any, outside: socket.socket, address: Any) -> None:
        tried.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(type(asyncio.get_running_loop()), "sock_connect", connect)
    steps = f"show(...{json.dumps(wanted)}.map((address) => () => connect(80, address)))"
    assert await run(Policy(), steps) == ["ECONNRESET"] * len(wanted)
    assert tried == []
    assert (
        await run(Policy(), "show(() => connect(80, '203.0.113.9'), () => connect(443, '2001:db8::1'))")
        == ["ECONNRESET"] * 2
    )
    assert tried == [("203.0.113.9", 80), ("2001:db8::1", 443)]


async def test_a_service_is_reached_on_its_port_only() -> None:
    async with server(greet) as service, server(greet) as other:
        policy = Policy(services=(Service("127.0.0.1", service),), ports=(other,))
        steps = f"show(() => connect({service}, '127.0.0.1'), () => connect({other}, '127.0.0.1'))"
        assert await run(policy, steps) == ["hello", "ECONNRESET"]


async def test_a_service_is_reached_by_any_of_its_addresses(names: None) -> None:
    async with server(greet) as port:
        policy = Policy(services=(Service("both.test", port),))
        assert await run(policy, f"show(() => connect({port}, '::1'))") == ["hello"]


async def test_other_ports_and_protocols_are_refused_at_once() -> None:
    steps = """
      const dgram = require('dgram')
      const udp = (port, host) => new Promise((resolve) => {
        const socket = dgram.createSocket('udp4')
        socket.on('error', (error) => { socket.close(); resolve(error.code) })
        socket.connect(port, host, () => socket.send('x'))
      })
      const start = Date.now()
      show(() => connect(81, '203.0.113.9'), () => connect(22, '2001:db8::1'), () => udp(53, '203.0.113.9'),
        () => udp(443, '203.0.113.9'), async () => Date.now() - start < 1000)"""
    assert await run(Policy(), steps) == ["ECONNREFUSED"] * 4 + [True]


async def test_what_listens_in_a_session_is_reached_there() -> None:
    steps = """
      const own = net.createServer((socket) => socket.end('mine')).listen(3000, () =>
        show(() => connect(3000, '127.0.0.1'), () => connect(3000, '::1'), async () => own.close() && 'closed'))"""
    assert await run(Policy(), steps) == ["mine", "mine", "closed"]


async def test_abstract_sockets_of_the_host_are_out_of_sight() -> None:
    name = f"aca-node-test-{os.getpid()}"
    connect = f"import socket; print(socket.socket(socket.AF_UNIX).connect_ex('\\0{name}'))"
    command = (sys.executable, "-I", "-S", "-c", connect)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"\0{name}")
        listener.listen()
        outside = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        assert (await outside.communicate())[0] == b"0\n"
        async with session(Policy(), *command) as running:
            assert await running.output() == f"{errno.ECONNREFUSED}\n"


async def test_either_side_may_end_first_and_still_listen() -> None:
    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(str(len(await reader.read())).encode())
        await writer.drain()

    heard: list[bytes] = []

    async def end_first(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write_eof()
        heard.append(await reader.read())

    steps = """show(
      () => new Promise((resolve) => {{
        const socket = net.connect({{ port: {0}, host: '127.0.0.1', allowHalfOpen: true }})
        socket.end(Buffer.alloc(1000)).on('data', (data) => resolve(Number(data)))
      }}),
      () => new Promise((resolve) => {{
        const socket = net.connect({{ port: {1}, host: '127.0.0.1', allowHalfOpen: true }})
        socket.on('end', () => socket.end('still here', () => resolve('said'))).resume()
      }}))"""
    async with server(count) as first, server(end_first) as second:
        assert await run(loopback(first, second), steps.format(first, second)) == [1000, "said"]
        await settles(lambda: heard == [b"still here"])


async def settles(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail("this should have come true")


async def test_much_comes_through_whole_both_ways_and_waits_for_a_slow_reader() -> None:
    steps = """show(() => new Promise((resolve) => {{
      const crypto = require('crypto'), sent = crypto.createHash('sha256'), got = crypto.createHash('sha256')
      const socket = net.connect({{ port: {0}, host: '127.0.0.1', allowHalfOpen: true }})
      let left = 50, size = 0
      const send = () => {{
        if (left-- === 0) return socket.end()
        const chunk = crypto.randomBytes(1 << 20)
        sent.update(chunk)
        socket.write(chunk, send)
      }}
      send()
      socket.on('data', (data) => {{ got.update(data); size += data.length }})
      socket.on('end', () => resolve([size, sent.digest('hex') === got.digest('hex')]))
      socket.pause()
      setTimeout(() => socket.resume(), 300)
    }}))"""
    async with server(echo) as port:
        assert await run(loopback(port), steps.format(port)) == [[50 << 20, True]]


async def test_many_connections_at_once() -> None:
    steps = """show(async () => {{
      const one = (n) => new Promise((resolve, reject) => {{
        const socket = net.connect({0}, '127.0.0.1', () => socket.write(`${{n}}`))
        socket.on('error', reject).on('data', (data) => resolve([Number(data), socket]))
      }})
      const all = await Promise.all(Array.from({{ length: 64 }}, (_, n) => one(n)))
      all.forEach(([, socket]) => socket.end())
      return all.every(([answer], n) => answer === n)
    }})"""
    async with server(echo) as port:
        assert await run(loopback(port), steps.format(port)) == [True]


async def test_more_connections_than_allowed_wait_for_an_end() -> None:
    steps = """
      const socket = () => net.connect({0}, '127.0.0.1')
      const first = socket(), second = socket()
      first.on('data', () => second.once('data', () => {{
        let early = true
        setTimeout(() => {{ early = false; first.destroy() }}, 200)
        const third = socket().on('data', () => {{
          console.log(JSON.stringify(early ? 'early' : 'after'))
          second.destroy()
          third.destroy()
        }})
      }}))"""

    async def greet_and_stay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        await reader.read()

    async with server(greet_and_stay) as port:
        assert await run(loopback(port), steps.format(port), max_connections=2) == "after"


async def test_a_destination_that_fails_or_is_silent_resets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(egress, "CONNECT_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        ports = full.getsockname()[1], closed.getsockname()[1]
        # Once its queue is full, nothing that connects is answered.
        waiting = [socket.socket() for _ in range(3)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        steps = "show(() => connect({}, '127.0.0.1'), () => connect({}, '127.0.0.1'))"
        assert await run(loopback(*ports), steps.format(*ports)) == ["ECONNRESET"] * 2
        for each in waiting:
            each.close()


async def test_connections_wait_while_the_pool_has_no_descriptor_left() -> None:
    steps = "process.stdin.once('data', () => show(() => connect({}, '127.0.0.1')).then(() => process.exit()))"
    async with server(greet) as port:
        async with session(loopback(port), NODE.executable, "-e", PRELUDE + steps.format(port)) as running:
            assert running.process.stdin is not None
            assert running.process.stdout is not None
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
            try:
                running.process.stdin.write(b"now\n")
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(running.process.stdout.readline(), 0.5)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert json.loads(await running.output()) == ["hello"]


async def test_a_reset_is_passed_on_to_the_other_end() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        writer.transport.abort()

    broken = asyncio.Event()

    async def notice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        try:
            await reader.read()
        except ConnectionResetError:
            broken.set()

    steps = """
      const socket = net.connect({1}, '127.0.0.1').on('data', () => socket.resetAndDestroy())
      show(() => new Promise((resolve) =>
        net.connect({0}, '127.0.0.1').on('error', (error) => resolve(error.code)).write('x')))"""
    async with server(reset) as first, server(notice) as second:
        assert await run(loopback(first, second), steps.format(first, second)) == ["ECONNRESET"]
        await asyncio.wait_for(broken.wait(), 5)


async def test_closing_ends_connections_and_leaves_nothing_open() -> None:
    ended = asyncio.Event()

    async def greet_and_wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await greet(reader, writer)
        try:
            await reader.read()
        except ConnectionResetError:
            ended.set()

    def state() -> tuple[int, int]:
        return len([*Path("/proc/self/fd").iterdir()]), len(asyncio.all_tasks())

    async with server(greet_and_wait) as port:
        before = state()
        steps = f"""
          net.connect({port}, '127.0.0.1').on('data', () => console.log('connected'))
            .on('error', (error) => process.exit(error.code === 'ECONNRESET' ? 0 : 1))"""
        async with session(loopback(port), NODE.executable, "-e", PRELUDE + steps) as running:
            assert running.process.stdout is not None
            assert await running.process.stdout.readline() == b"connected\n"
            await running.relay.close()
            assert await asyncio.wait_for(running.process.wait(), 5) == 0
            await asyncio.wait_for(ended.wait(), 5)
        await settles(lambda: state() == before)


async def test_names_are_told_only_if_they_may_be_reached(names: None) -> None:
    steps = """
      dns.setServers(['127.0.0.1'])
      const names = ['outside.test', 'hidden.test', 'registry.test', 'unknown.test']
      show(...names.map((name) => () => dns.promises.resolve4(name)))"""
    refused, unknown = "ENOTFOUND", "ENOTFOUND"
    assert await run(Policy(), steps) == [["203.0.113.9"], refused, refused, unknown]
    policy = Policy(allow=(Allowed.parse("10.1.2.3:5432"),), services=(Service("registry.test", 4873),))
    assert await run(policy, steps) == [["203.0.113.9"], ["10.1.2.3"], ["127.0.0.1"], unknown]


async def test_slow_and_garbled_questions_do_not_stop_others(names: None, monkeypatch: pytest.MonkeyPatch) -> None:
    patched, release = socket.getaddrinfo, threading.Event()

    def slow(host: Any, *rest: Any, **options: Any) -> Any:
        if host.startswith(b"slow") and not release.wait(20):
            raise AssertionError(host)
        return patched(host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    steps = """
      const socket = require('dgram').createSocket('udp4')
      for (let n = 0; n < 500; n++) socket.send(require('crypto').randomBytes(n % 100), 53, '127.0.0.1')
      socket.on('message', () => {})
      dns.setServers(['127.0.0.1'])
      for (let n = 0; n < 3; n++) dns.promises.resolve4(`slow${n}.test`).catch(() => {})
      show(() => dns.promises.resolve4('outside.test')).then(() => process.exit())"""
    try:
        assert await run(Policy(), steps) == [["203.0.113.9"]]
    finally:
        release.set()


async def test_without_ipv6_there_is_ipv4() -> None:
    async with server(greet) as port:
        steps = f"show(() => connect({port}, '127.0.0.1'), () => connect({port}, '2001:db8::1'))"
        results = await run(loopback(port), steps, change="network._has_ipv6 = lambda: False")
    assert results[0] == "hello"
    assert results[1] in ("ENETUNREACH", "EADDRNOTAVAIL", "ECONNREFUSED")


async def test_the_step_that_fails_is_told() -> None:
    with pytest.raises(NetworkDeniedError, match=r"can't listen on port 80: Address already in use"):
        await run(Policy(), "", change="_made = network.make_network; network.make_network = lambda p: _made([80, 80])")
    if not find_programs():
        unavailable("bubblewrap is not installed")
    without_namespaces = (find_programs()[-1], "--dev-bind", "/", "/", "--unshare-user", "--disable-userns")
    with pytest.raises(NetworkDeniedError, match="can't make a network namespace: "):
        await run(Policy(), "", run_as=As("", prefix=(*without_namespaces, "--cap-drop", "ALL", "--")))


async def test_npm_reads_a_registry_on_the_hosts_loopback(tmp_path: Path) -> None:
    if NODE.npm_cli is None:
        unavailable("npm is not installed")
    package = {
        "name": "left",
        "versions": {"1.2.3": {"name": "left", "version": "1.2.3"}},
        "dist-tags": {"latest": "1.2.3"},
    }
    body = json.dumps(package).encode()
    asked = []

    async def registry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0])
        head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: "
        writer.write(head + b"%d\r\n\r\n" % len(body) + body)
        await writer.drain()

    async with server(registry) as port:
        environment = {
            "HOME": str(tmp_path),
            "npm_config_registry": f"http://127.0.0.1:{port}/",
            "npm_config_fetch_retries": "0",
        }
        command = (NODE.executable, str(NODE.npm_cli), "view", "left", "version", "--no-update-notifier")
        with pytest.raises(AssertionError, match="ECONNRESET"):
            async with session(Policy(ports=(port,)), *command, environment=environment) as running:
                await running.output()
        assert asked == []
        async with session(loopback(port), *command, environment=environment) as running:
            assert (await running.output()).strip() == "1.2.3"
    assert asked == [b"GET /left HTTP/1.1"]
