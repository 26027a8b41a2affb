"""The commands that put a set-up right: for a pool in Azure, with the names in its endpoint, and for one here."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import unquote, urlsplit

AUDIENCE = "https://dynamicsessions.io"
ROLE = "Azure ContainerApps Session Executor"

# A pool's path in its endpoint, in an ARM resource id and in an address of the portal.
_POOL = re.compile(
    r"/subscriptions/(?P<subscription>[^/]+)/resourceGroups/(?P<group>[^/]+)"
    r"/(?:providers/Microsoft\.App/)?sessionPools/(?P<name>[^/?#\s]+)",
    re.IGNORECASE,
)
_REGION = re.compile(r"([a-z0-9]+)\.(?:dynamicsessions|acasessions)\.io")
_NAME = re.compile(r"[\w.()\-]{1,90}")


class Fixes(Protocol):
    """What to do about each thing that can be wrong with a pool; commands stand on lines of their own."""

    def right_endpoint(self) -> str:
        """Find the pool's endpoint."""

    def sign_in(self) -> str:
        """Get a token for the pool."""

    def permission(self, caller: str) -> str:
        """Be let into the pool."""

    def room(self) -> str:
        """Make room in a full pool."""

    def egress(self) -> str:
        """Let code reach the network."""

    def node_pool(self) -> str:
        """Make a pool that runs Node.js."""


@dataclass(frozen=True)
class AzureFixes:
    """The Azure CLI's commands; what is in capitals is to be filled in."""

    subscription: str = "SUBSCRIPTION"
    group: str = "GROUP"
    name: str = "NAME"
    region: str = "REGION"

    @classmethod
    def of(cls, text: str) -> AzureFixes:
        """Read the names out of an endpoint, or out of what was taken for one."""
        names = {}
        if found := _POOL.search(text):
            names = {part: unquote(name) for part, name in found.groupdict().items()}
        try:
            host = (urlsplit(text.strip()).hostname or "").lower()
        except ValueError:
            host = ""
        if found := _REGION.fullmatch(host):
            names["region"] = found[1]
        # A name that starts with a dash would be taken for an option.
        return cls(**{k: name for k, name in names.items() if _NAME.fullmatch(name) and not name.startswith("-")})

    @property
    def is_named(self) -> bool:
        """Tell whether the endpoint said which pool of Azure it is."""
        return self.name != type(self).name

    def right_endpoint(self) -> str:
        """Find the pool's endpoint."""
        query = "--query properties.poolManagementEndpoint --output tsv"
        return f"{self._pool('show')} {query}\nThe pools of the group:\n{self._pools()}"

    def sign_in(self) -> str:
        """Get a token for the pool; without `--token`, the package asks for it itself."""
        return (
            f"az login --scope {AUDIENCE}/.default\n"
            "Leave --token out then; where one must be passed, this prints a right one:\n"
            f"az account get-access-token --resource {AUDIENCE} --query accessToken --output tsv"
        )

    def right_tenant(self, tenant: str = "") -> str:
        """Sign in where the pool is."""
        if tenant:
            return f"az login --tenant {shlex.quote(tenant)} --scope {AUDIENCE}/.default"
        return f'az login --tenant "$({shlex.join(self.tenant_command)})" --scope {AUDIENCE}/.default'

    @property
    def tenant_command(self) -> list[str]:
        """What prints the tenant of the pool's subscription."""
        return ["az", "account", "show", "--subscription", self.subscription, "--query", "tenantId", "--output", "tsv"]

    def permission(self, caller: str) -> str:
        """Be let into the pool."""
        who = shlex.quote(caller) if caller else '"$(az ad signed-in-user show --query id --output tsv)"'
        scope = shlex.quote(
            f"/subscriptions/{self.subscription}/resourceGroups/{self.group}/providers/Microsoft.App/sessionPools/{self.name}"
        )
        which = f"--role '{ROLE}' --assignee {who} --scope {scope}"
        return (
            "Is the role there already?\n"
            f"az role assignment list {which} --include-inherited --query '[].createdOn' --output tsv\n"
            "If that prints nothing, assign it:\n"
            f"az role assignment create {which}\n"
            "If it prints a time, the role has not reached the pool yet. Wait some minutes, get a new token, and run "
            "aca-node doctor again:\naz login"
        )

    def room(self) -> str:
        """Make room in a full pool."""
        return (
            f"{self._pool('update')} --max-sessions NUMBER\n"
            "Or delete sessions that are done (close executors), or wait: idle ones end after the pool's cooldown."
        )

    def egress(self) -> str:
        """Let code reach the network."""
        return f"If code has to:\n{self._pool('update')} --network-status EgressEnabled"

    def node_pool(self) -> str:
        """Make a pool that runs Node.js; how to turn one into it is not documented."""
        return (
            f"az containerapp sessionpool create --name NEWNAME {self._group()} --location {shlex.quote(self.region)} "
            "--container-type NodeLTS --max-sessions 10 --cooldown-period 300\n"
            f"Or take one that is there:\n{self._pools()}"
        )

    def _pool(self, verb: str) -> str:
        return f"az containerapp sessionpool {verb} --name {shlex.quote(self.name)} {self._group()}"

    def _pools(self) -> str:
        query = "[].{name:name, type:properties.containerType, endpoint:properties.poolManagementEndpoint}"
        return f"az containerapp sessionpool list {self._group()} --query '{query}' --output table"

    def _group(self) -> str:
        return f"--resource-group {shlex.quote(self.group)} --subscription {shlex.quote(self.subscription)}"


@dataclass(frozen=True)
class EmbeddedFixes:
    """The same for a pool that `aca-node serve` serves on this machine."""

    def right_endpoint(self) -> str:
        """Find the pool's endpoint."""
        return "aca-node serve\nIt prints the lines that name its endpoint and its token: run them in this shell."

    def sign_in(self) -> str:
        """Get a token for the pool."""
        return "export ACA_POOL_TOKEN=TOKEN\nThe line with the token is what `aca-node serve` printed as it started."

    def permission(self, caller: str) -> str:
        """Be let into the pool: its token is all that it asks for."""
        return self.sign_in()

    def room(self) -> str:
        """Make room in a full pool."""
        return "aca-node serve --max-sessions NUMBER\nOr delete sessions that are done, or wait for their cooldown."

    def egress(self) -> str:
        """Let code reach the network."""
        return "If code has to:\naca-node serve --egress"

    def node_pool(self) -> str:
        """Make a pool that runs Node.js."""
        return self.right_endpoint()
