"""The model of the samples: a deployment of Azure OpenAI, or a script that is played as one.

With AZURE_OPENAI_ENDPOINT and AZURE_OPENAI_DEPLOYMENT set, it is that deployment, and `DefaultAzureCredential` signs
in. Otherwise a scripted model answers on loopback, so that the samples run without an account; the clients and the
code that they run are real either way.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from azure.identity import DefaultAzureCredential, get_bearer_token_provider

from aca_node_interpreter.testing import Playable, ScriptedModel

SCOPE = "https://cognitiveservices.azure.com/.default"


@dataclass(frozen=True)
class Deployment:
    """What a client of Azure OpenAI needs to know."""

    endpoint: str
    name: str
    token: Callable[[], str]
    api_version: str = "2024-10-21"


@contextmanager
def deployment(script: Iterable[Playable]) -> Iterator[Deployment]:
    """Find the deployment that the environment names, or play the script."""
    endpoint, name = os.environ.get("AZURE_OPENAI_ENDPOINT"), os.environ.get("AZURE_OPENAI_DEPLOYMENT")
    if endpoint and name:
        yield Deployment(endpoint, name, get_bearer_token_provider(DefaultAzureCredential(), SCOPE))
    else:
        with ScriptedModel(script) as model:
            yield Deployment(model.azure_endpoint, model.name, lambda: model.api_key)
