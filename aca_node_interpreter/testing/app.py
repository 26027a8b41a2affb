"""The scripted model's HTTP side: who may ask, at which of OpenAI's and Azure's paths, and how errors are worded."""

from __future__ import annotations

import hmac
import json
import math
from collections.abc import AsyncIterator, Iterator
from typing import Any, Literal, Protocol

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from .chat import ChatApi
from .player import Answer, Player
from .request import Message, ModelRequest, RefusedError, objects
from .responses import ResponsesApi
from .script import Fail

_SECRET_HEADERS = ("authorization", "api-key")
_MODELS_CREATED = 1_700_000_000


class Api(Protocol):
    """What the two APIs differ in."""

    def read(self, body: dict[str, Any]) -> tuple[Message, ...]:
        """Return the conversation."""

    def check_order(self, messages: tuple[Message, ...]) -> None:
        """Refuse tool calls and results that do not belong together."""

    def whole(self, answer: Answer, body: dict[str, Any]) -> dict[str, Any]:
        """Word an answer that comes at once."""

    def stream(self, answer: Answer, body: dict[str, Any]) -> Iterator[str]:
        """Word an answer that comes in pieces."""


class ModelApp:
    """The ASGI application of one scripted model."""

    def __init__(self, player: Player, *, name: str, api_key: str) -> None:
        self._player = player
        self._name = name
        self._api_key = api_key.encode()
        self._chat = ChatApi()
        self._responses = ResponsesApi()
        routes = [Route("/openai/deployments/{deployment}/chat/completions", self._complete, methods=["POST"])]
        for prefix in ("/v1", "/openai/v1", "/openai"):
            routes += [
                Route(f"{prefix}/models", self._list_models),
                Route(f"{prefix}/models/{{model}}", self._tell_model),
                Route(f"{prefix}/responses", self._respond, methods=["POST"]),
            ]
            if prefix != "/openai":
                routes.append(Route(f"{prefix}/chat/completions", self._complete, methods=["POST"]))
        self._app = Starlette(
            routes=routes, exception_handlers={RefusedError: _refusal, HTTPException: _no_such_endpoint}
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        # Whoever lacks the key does not even learn which paths there are.
        if scope["type"] == "http" and not self._knows_key(Headers(scope=scope)):
            await _error(401, "Incorrect API key provided.", code="invalid_api_key")(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _knows_key(self, headers: Headers) -> bool:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        given = headers.get("api-key") or (token if scheme.lower() == "bearer" else "")
        return hmac.compare_digest(given.encode("latin-1"), self._api_key)

    async def _list_models(self, request: Request) -> Response:
        _check_version(request)
        return JSONResponse({"object": "list", "data": [self._model()]})

    async def _tell_model(self, request: Request) -> Response:
        _check_version(request)
        self._check_name(request.path_params["model"])
        return JSONResponse(self._model())

    async def _complete(self, request: Request) -> Response:
        return await self._answer(request, "chat", self._chat)

    async def _respond(self, request: Request) -> Response:
        return await self._answer(request, "responses", self._responses)

    async def _answer(self, request: Request, kind: Literal["chat", "responses"], api: Api) -> Response:
        _check_version(request)
        body = _object(await request.body())
        # Azure takes the deployment's name from the path, whatever the body says.
        self._check_name(request.path_params.get("deployment", body.get("model")))
        try:
            messages = api.read(body)
            headers = {name: value for name, value in request.headers.items() if name not in _SECRET_HEADERS}
            asked = ModelRequest(kind, body, headers, messages, _tools(body))
            self._player.requests.append(asked)
            api.check_order(messages)
        except RefusedError as refused:
            self._player.refused(str(refused))
            raise
        answer = self._player.play(asked)
        if isinstance(answer, Fail):
            return _failure(answer)
        if not body.get("stream"):
            return JSONResponse(api.whole(answer, body))
        return StreamingResponse(_one_by_one(list(api.stream(answer, body))), media_type="text/event-stream")

    def _check_name(self, name: Any) -> None:
        if name != self._name:
            raise RefusedError(f"The model `{name}` does not exist.", status=404, code="model_not_found", param="model")

    def _model(self) -> dict[str, Any]:
        return {"id": self._name, "object": "model", "created": _MODELS_CREATED, "owned_by": "script"}


def _check_version(request: Request) -> None:
    """Refuse a path of Azure's that needs a version, and has none."""
    needs = request.url.path.startswith("/openai/") and not request.url.path.startswith("/openai/v1/")
    if needs and not request.query_params.get("api-version"):
        raise RefusedError("Resource not found: `api-version` is missing.", status=404)


def _object(content: bytes) -> dict[str, Any]:
    try:
        body = json.loads(content)
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise RefusedError("We could not parse the JSON body of your request: expected an object.")
    return body


def _tools(body: dict[str, Any]) -> tuple[str, ...]:
    tools = objects(body.get("tools") or [], "tools")
    # Chat Completions put a function's name one level deeper than Responses.
    functions = [tool.get("function", tool) for tool in tools if tool.get("type") == "function"]
    return tuple(str(function.get("name")) for function in objects(functions, "tools"))


async def _one_by_one(events: list[str]) -> AsyncIterator[str]:
    for event in events:
        yield event


def _failure(fail: Fail) -> Response:
    response = _error(fail.status, fail.message, code=fail.code)
    if fail.retry_after is not None:
        # The standard's header has whole seconds only; OpenAI's own is what its clients look at first.
        response.headers["retry-after"] = str(math.ceil(fail.retry_after))
        response.headers["retry-after-ms"] = str(fail.retry_after * 1000)
    return response


async def _refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)  # noqa: S101  # Starlette's types do not know for what it calls this
    return _error(error.status, str(error), code=error.code, param=error.param)


async def _no_such_endpoint(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return _error(status, f"Invalid URL ({request.method} {request.url.path})")


def _error(status: int, message: str, *, code: str | None = None, param: str | None = None) -> JSONResponse:
    kind = {401: "authentication_error", 429: "rate_limit_error"}.get(
        status, "invalid_request_error" if status < 500 else "server_error"
    )
    return JSONResponse({"error": {"message": message, "type": kind, "param": param, "code": code}}, status)
