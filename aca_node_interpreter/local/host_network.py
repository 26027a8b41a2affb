"""What of the host's npm, proxy and certificate settings a session with egress is given, never with credentials."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

_PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_NPM_KEYS = ("registry", "proxy", "https-proxy", "noproxy", "cafile")
_PROXIES = ("npm_config_proxy", "npm_config_https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_DEFAULT_PORTS = {"http": 80, "https": 443, **dict.fromkeys(("socks", "socks4", "socks4a", "socks5", "socks5h"), 1080)}


class Service(NamedTuple):
    """A server that the host itself uses: its name or address in lower case, and its TCP port."""

    host: str
    port: int


@dataclass(frozen=True)
class HostNetwork:
    """Settings that let npm and fetch work where the host's own do."""

    variables: Mapping[str, str] = field(default_factory=dict)
    certificates: Path | None = None
    """A file with extra certificate authorities, to be made readable in the session."""
    services: tuple[Service, ...] = ()
    """The npm registry and the proxies."""


def read_host_network(environment: Mapping[str, str], npmrc_files: tuple[Path, ...]) -> HostNetwork:
    """Collect the settings; an environment variable wins over the files, an earlier file over a later one."""
    npm: dict[str, str] = {}
    for file in reversed(npmrc_files):
        npm |= _read_npmrc(file)
    for name, value in environment.items():
        key = name.lower().removeprefix("npm_config_").replace("_", "-")
        if name.lower().startswith("npm_config_") and key in _NPM_KEYS:
            npm[key] = value
    variables = {
        f"npm_config_{key.replace('-', '_')}": _without_credentials(value)
        for key, value in npm.items()
        if key != "cafile" and value
    }
    for name in _PROXY_VARIABLES:
        proxy = environment.get(name) or environment.get(name.lower())
        if proxy:
            variables[name] = variables[name.lower()] = _without_credentials(proxy)
    candidates = (environment.get("NODE_EXTRA_CA_CERTS"), npm.get("cafile"), environment.get("SSL_CERT_FILE"))
    certificates = next((Path(path) for path in candidates if path and Path(path).is_file()), None)
    # npm's own registry needs no mention: it is on the outside.
    urls = [variables.get("npm_config_registry"), *map(variables.get, _PROXIES)]
    services = (_read_service(url) for url in urls if url)
    return HostNetwork(variables, certificates, tuple(dict.fromkeys(filter(None, services))))


def npmrc_files(npm_cli: Path | None) -> tuple[Path, ...]:
    """Name the npm settings files of this user and this machine, strongest first."""
    user = Path(os.environ.get("NPM_CONFIG_USERCONFIG") or Path.home() / ".npmrc")
    files = [user]
    if npm_cli is not None:
        # <prefix>/lib/node_modules/npm/bin/npm-cli.js
        files.append(npm_cli.parents[4] / "etc" / "npmrc" if len(npm_cli.parents) > 4 else user)
    return (*files, Path("/etc/npmrc"))


def _read_npmrc(file: Path) -> dict[str, str]:
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    settings = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals and key.strip() in _NPM_KEYS:
            settings[key.strip()] = os.path.expandvars(value.strip().strip("\"'"))
    return settings


def _without_credentials(value: str) -> str:
    scheme, separator, rest = value.rpartition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}"


def _read_service(url: str) -> Service | None:
    try:
        # Proxies may be written without a scheme.
        parts = urlsplit(url if "://" in url else f"http://{url}")
        host, port = (parts.hostname or "").encode("idna").decode(), parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return None
    return Service(host, port) if host and port else None
