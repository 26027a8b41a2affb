"""`Policy`: what a model's code may use, read off its text before anything is sent.

It is a guard rail and not the sandbox. It keeps a model that means well on the road and tells it at once what to write
instead; JavaScript can be written so that no check of its text sees what it does. What code can reach is decided by the
session it runs in: by the session pool's isolation and egress.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar
from urllib.parse import unquote

from .errors import ConfigurationError
from .javascript.uses import BUILTINS, NETWORK_GLOBALS, Use, Uses

NETWORK_MODULES = frozenset(
    str.split(
        """
        dgram dns http http2 https inspector net node:quic tls
        @aws-sdk @azure axios cross-fetch follow-redirects got isomorphic-fetch ioredis ky mongodb mysql mysql2 needle
        node-fetch nodemailer openai pg phin puppeteer playwright redis request socket.io-client ssh2 superagent undici
        wretch ws
        """
    )
)
"""Node.js's modules, and the best-known packages, that reach the network."""

NOT_RUN = "The code was not run."

_INSTEAD = "write the module's name in quotes, as in require('path') or import('path')"
# Of it, `createRequire` is allowed, and the text is looked at for the rest.
_MAKES_REQUIRE = "module"
# They run code in strings, which nobody has looked at; a worker does with `eval: true`.
_STRING_RUNNERS = frozenset({"vm", "repl", "worker_threads"})
# Paths, and names that a `package.json` of the session gives to them.
_FILE = ("/", ".", "#")
# What is wrong with a text, at most; more is no help to whoever repairs it.
_TOLD = 10


@dataclass(frozen=True)
class Policy:
    """What code may use, checked by its syntax tree before it is sent; a guard rail, not the sandbox.

    Modules are named with or without `node:`, and a name stands for all below it: `fs` for `fs/promises`, `@azure` for
    `@azure/identity`. Where modules are restricted, which `network=False` does, too, code must say in so many words
    what it loads: `require(name)`, `import(name)`, `eval` and the like are refused. Code in packages, in files of the
    session, uploaded or written by a run, and in child processes is not looked at.

    Args:
        allowed_modules: modules that code may load; without it all but the denied ones.
        denied_modules: modules that code may not load, not even if they are allowed.
        network: whether code may name what reaches the network: `fetch`, `WebSocket`, `http`, `net`, `undici`, `axios`
            and other modules known for it. What keeps a session off the network is its pool without egress.
        max_code_bytes: the largest code, in UTF-8.
        max_upload_bytes: the largest file, in bytes, that is put into a session.
        timeout: seconds that one run may take, at least 1. This and the next two are settings of the executor, too: the
            smaller one counts.
        max_artifacts: files that come back from one run.
        max_artifact_bytes: the largest file, in bytes, that comes back.

    Raises:
        ConfigurationError: a name is no module's, or a limit is no number that can work.
    """

    allowed_modules: Sequence[str] | None = None
    denied_modules: Sequence[str] = ()
    network: bool = True
    max_code_bytes: int | None = None
    max_upload_bytes: int | None = None
    timeout: float | None = None
    max_artifacts: int | None = None
    max_artifact_bytes: int | None = None

    # For pydantic, which reads it in the executor's settings and in AutoGen's configuration.
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    def __post_init__(self) -> None:
        if self.allowed_modules is not None:
            object.__setattr__(self, "allowed_modules", _names(self.allowed_modules, "allowed_modules"))
        object.__setattr__(self, "denied_modules", _names(self.denied_modules, "denied_modules"))
        if not isinstance(self.network, bool):
            raise ConfigurationError("network is true or false.")
        _check_limit("max_code_bytes", self.max_code_bytes, 1)
        _check_limit("max_upload_bytes", self.max_upload_bytes, 1)
        _check_limit("max_artifacts", self.max_artifacts, 0)
        _check_limit("max_artifact_bytes", self.max_artifact_bytes, 0)
        _check_limit("timeout", self.timeout, 1, float)

    @classmethod
    def from_json(cls, text: str) -> Policy:
        """Return the policy that `to_json` wrote down.

        Raises:
            ConfigurationError: it is no JSON object, has a key that no policy has, or a value that can't work.
        """
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ConfigurationError(f"A policy is a JSON object, and this is no JSON: {error}.") from error
        if not isinstance(values, dict):
            raise ConfigurationError("A policy is a JSON object.")
        known = [each.name for each in fields(cls)]
        if unknown := sorted(values.keys() - set(known)):
            raise ConfigurationError(f"A policy has no {', '.join(unknown)}; it has {', '.join(known)}.")
        return cls(**values)

    def to_json(self) -> str:
        """Write it down as a JSON object."""
        return json.dumps(asdict(self))

    @property
    def restricts_modules(self) -> bool:
        """Whether there is a module that code may not load."""
        return self.allowed_modules is not None or bool(self.denied_modules) or not self.network

    @property
    def words(self) -> str:
        """What a model is told of it, a line for each rule; empty when there is none."""
        return "\n".join(f"- {rule}" for rule in self._rules())

    def _rules(self) -> Iterator[str]:
        if self.allowed_modules is not None:
            yield f"Use no modules but these: {', '.join(self.allowed_modules) or 'none'}."
        if self.denied_modules:
            yield f"Don't use these modules: {', '.join(self.denied_modules)}."
        if not self.network:
            yield "Don't use the network: no fetch, no WebSocket, no module that connects to anything."
        if self.restricts_modules:
            yield "Name modules in quotes where you import or require them; don't use eval, new Function or vm."
        if self.max_code_bytes is not None:
            yield f"Send at most {self.max_code_bytes:,} bytes of code at once."
        if self.timeout is not None:
            yield f"A run may take {self.timeout:g} seconds."
        if self.max_artifacts is not None:
            yield f"At most {self.max_artifacts} of a run's files are saved."
        if self.max_artifact_bytes is not None:
            yield f"Files of more than {self.max_artifact_bytes:,} bytes are not saved."
        if self.max_upload_bytes is not None:
            yield f"Files of more than {self.max_upload_bytes:,} bytes can't be uploaded."

    def complaint(self, uses: Uses, own: Collection[str] = ()) -> str:
        """Say for a model why a text may not run; empty when it may.

        Args:
            uses: what the text uses.
            own: names that earlier texts declared, which hide Node.js's own.
        """
        modules = (*uses.modules, *_globals(uses, BUILTINS, own))
        wrong = [(use.line, why) for use in modules if (why := self._objection(use.name))]
        if not self.network:
            reaching = _globals(uses, NETWORK_GLOBALS, own)
            wrong += [(use.line, f"{use.name} reaches the network, which is not allowed") for use in reaching]
        wrong += [
            (use.line, f"`{use.name}` does not say which module it loads, or what code it runs: {_INSTEAD}")
            for use in uses.unreadable
        ]
        lines = [f"- line {line}: {why}." for line, why in sorted(set(wrong))]
        if not lines:
            return ""
        more = [f"- {len(lines) - _TOLD} more."] if len(lines) > _TOLD else []
        allowed = f"\nModules that may be used: {', '.join(self.allowed_modules)}." if self.allowed_modules else ""
        return "\n".join([f"{NOT_RUN} It breaks the rules:", *lines[:_TOLD], *more]) + allowed

    def complaint_of_size(self, code: str) -> str:
        """Say for a model that a text is too large; empty when it is not."""
        size = len(code.encode("utf-8", "surrogatepass"))
        if self.max_code_bytes is None or size <= self.max_code_bytes:
            return ""
        return (
            f"{NOT_RUN} It has {size:,} bytes, and at most {self.max_code_bytes:,} may be sent at once: send it in "
            "parts; variables and functions are kept from run to run."
        )

    def _objection(self, specifier: str) -> str:
        """Say why a module may not be loaded; empty when it may."""
        name = module_of(specifier)
        if name is None:
            return ""
        if ":" in name and not name.startswith("node:"):
            return f"{specifier!r} is no module by name, and what is in it can't be looked at"
        bare = name.removeprefix("node:")
        if any(_stands_for(entry.removeprefix("node:"), bare) for entry in self.denied_modules):
            return f"the module {specifier!r} is not allowed"
        if not self.network and any(_stands_for(entry, name) for entry in NETWORK_MODULES):
            return f"the module {specifier!r} reaches the network, which is not allowed"
        if self.allowed_modules is not None:
            if any(_stands_for(entry, name) for entry in self.allowed_modules) or name == _MAKES_REQUIRE:
                return ""
            return f"the module {specifier!r} is not among those that are allowed"
        return f"the module {specifier!r} runs code that can't be looked at" if name in _STRING_RUNNERS else ""


def module_of(specifier: str) -> str | None:
    """Return the name that a module goes by, with `node:` only where it can't be left out; `None` for a file.

    A file in a package's directory is the package's.
    """
    name = unquote(specifier.removeprefix("file://")) if specifier.startswith("file:") else specifier
    scheme, colon, rest = name.partition(":")
    if colon and scheme != "node":
        return name
    path = posixpath.normpath(rest if colon else name)
    _, is_in_package, below = f"/{path}".rpartition("/node_modules/")
    if is_in_package:
        return below
    if name.startswith(_FILE) or path.startswith(_FILE):
        return None
    return f"node:{path}" if colon and path.partition("/")[0] not in BUILTINS else path


def modules_in(uses: Uses, own: Collection[str] = ()) -> tuple[str, ...]:
    """Return the names of the modules that a text uses, each once; `own` are names that earlier texts declared."""
    named = (module_of(use.name) for use in (*uses.modules, *_globals(uses, BUILTINS, own)))
    return tuple(dict.fromkeys(name for name in named if name is not None))


def _globals(uses: Uses, kind: Collection[str], own: Collection[str]) -> list[Use]:
    return [use for use in uses.globals if use.name in kind and use.name not in own]


def _stands_for(entry: str, name: str) -> bool:
    return name == entry or name.startswith(f"{entry}/")


def _names(modules: Any, setting: str) -> tuple[str, ...]:
    if isinstance(modules, str) or not isinstance(modules, Collection):
        raise ConfigurationError(f"{setting} is a list of names, such as ['fs', 'zod'].")
    names = []
    for module in modules:
        name = module_of(module) if isinstance(module, str) and module and not module.isspace() else None
        if name is None or (":" in name and not name.startswith("node:")):
            raise ConfigurationError(f"{module!r} in {setting} is no module: name it such as 'fs' or '@scope/name'.")
        names.append(name)
    return tuple(dict.fromkeys(names))


def _check_limit(name: str, value: Any, least: int, kind: type = int) -> None:
    is_number = isinstance(value, (int, kind)) and not isinstance(value, bool)
    if value is not None and not (is_number and value >= least):
        raise ConfigurationError(f"{name} is a number of at least {least}, or left out.")
