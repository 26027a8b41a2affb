"""How a script is played: what it expects, what is refused as by the real service, and what `check` tells."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import uvicorn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aca_node_interpreter import testing
from aca_node_interpreter.errors import ConfigurationError, ScriptError
from aca_node_interpreter.testing import Call, Fail, ModelRequest, Say, ScriptedModel, Turn
from tests.testing.wire import FLAT_TOOLS, TOOLS, chat, post, respond, unfollowed

USER = {"role": "user", "content": "Go."}


def called(*ids: str) -> dict[str, Any]:
    function = {"name": "node_interpreter", "arguments": "{}"}
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": call_id, "type": "function", "function": function} for call_id in ids],
    }


def result(call_id: str, content: Any = "=> 42") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": content}


def item(call_id: str) -> dict[str, Any]:
    return {"type": "function_call", "call_id": call_id, "name": "node_interpreter", "arguments": "{}"}


def item_output(call_id: str, output: Any = "=> 42") -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def message_of(answer: httpx.Response, status: int = 400) -> str:
    assert answer.status_code == status
    error = answer.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    return str(error["message"])


def test_public_names_are_sorted_and_there() -> None:
    assert testing.__all__ == sorted(testing.__all__)
    assert all(hasattr(testing, name) for name in testing.__all__)


# Who may ask


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Bearer"},
        {"Authorization": "Basic {key}"},
        {"Authorization": "{key}"},
        {"api-key": "wrong"},
        {"api-key": "{key}x"},
        {"api-key": "wrong", "Authorization": "Bearer {key}"},
        {"api-key": b"\xe9\xff"},
        {"x-api-key": "{key}"},
    ],
    ids=str,
)
def test_nothing_is_told_without_the_key(headers: dict[str, Any]) -> None:
    with ScriptedModel([]) as model:
        filled = {n: v if isinstance(v, bytes) else v.format(key=model.api_key) for n, v in headers.items()}
        for path in ("/v1/chat/completions", "/v1/models", "/nothing"):
            answer = post(model, path, {}, headers=filled)
            assert message_of(answer, 401) == "Incorrect API key provided."
            assert answer.json()["error"]["code"] == "invalid_api_key"
            assert model.api_key not in answer.text
        assert model.requests == []


@pytest.mark.parametrize("header", ["Authorization: Bearer {}", "authorization: bearer {}", "api-key: {}"])
def test_the_key_opens_in_either_header(header: str) -> None:
    with ScriptedModel([Say("Hello.")], api_key="chosen") as model:
        name, value = header.format("chosen").split(": ")
        body = {"model": model.name, "messages": [USER]}
        assert post(model, "/v1/chat/completions", body, headers={name: value}).status_code == 200
        assert "chosen" not in str(model.requests)


def test_it_listens_on_loopback_only_while_the_block_lasts() -> None:
    model = ScriptedModel([])
    with pytest.raises(ConfigurationError, match="not running"):
        _ = model.base_url
    with model:
        url = model.base_url
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/v1", url)
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, trust_env=False)
    assert "aca-node-scripted-model" not in [thread.name for thread in threading.enumerate()]


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r'needs starlette: run pip install "aca-node-interpreter\[local\]"'):
        ScriptedModel([])


def test_when_the_server_dies_nobody_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def die(self: uvicorn.Server, sockets: object) -> None:
        """End before it accepts anybody."""

    monkeypatch.setattr(uvicorn.Server, "serve", die)
    with unfollowed([Say("Hello.")]) as model, pytest.raises((httpx.NetworkError, httpx.ProtocolError)):
        chat(model, [USER])


# Which paths


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/chat/completions", 200),
        ("/openai/v1/chat/completions", 200),
        ("/openai/v1/chat/completions?api-version=preview", 200),
        ("/openai/deployments/mine/chat/completions?api-version=2024-10-21", 200),
        ("/openai/deployments/mine/chat/completions", 404),
        ("/openai/deployments/other/chat/completions?api-version=2024-10-21", 404),
        ("/openai/chat/completions?api-version=2024-10-21", 404),
        ("/v1/completions", 404),
        ("/chat/completions", 404),
    ],
)
def test_paths_of_both_services(path: str, status: int) -> None:
    with ScriptedModel([Say("Hello.")], name="mine") as model:
        answer = post(model, path, {"model": "mine", "messages": [USER]})
        assert answer.status_code == status
        if status == 200:
            return
        assert message_of(answer, 404)
        assert model.requests == []
        chat(model, [USER])


def test_a_wrong_method_and_a_wrong_model_are_refused() -> None:
    with ScriptedModel([]) as model:
        headers = {"api-key": model.api_key}
        assert message_of(httpx.get(f"{model.base_url}/responses", headers=headers, trust_env=False), 405)
        asked = post(model, "/v1/chat/completions", {"model": "other", "messages": [USER]})
        assert "`other`" in message_of(asked, 404)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff"])
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    with ScriptedModel([]) as model:
        assert "JSON" in message_of(post(model, "/v1/responses", body))


# What the real service refuses, too


@pytest.mark.parametrize(
    ("messages", "refusal"),
    [
        ([], "empty array"),
        ("Go.", "expected an array"),
        (["Go."], "expected an array"),
        ([{"role": "human", "content": "Go."}], "'human'"),
        ([{"content": "Go."}], "None"),
        ([{"role": "user"}], "content"),
        ([{"role": "user", "content": 7}], "content"),
        ([{"role": "user", "content": "Go.", "tool_calls": [{"id": "a"}]}], "tool_calls"),
        ([USER, {"role": "assistant", "content": "", "tool_calls": []}], "at least one"),
        ([USER, result("a")], "must be a response to a preceding message"),
        ([USER, called("a"), result("b")], "'b' is none of its open calls"),
        ([USER, called("a"), result("a"), result("a")], "'a' is none"),
        ([USER, called("a")], "did not have response messages: a"),
        ([USER, called("a", "b"), result("b")], "did not have response messages: a"),
        ([USER, called("a"), USER, result("a")], "did not have response messages: a"),
        ([USER, called("a", "b"), result("a"), USER, result("b")], "did not have response messages: b"),
        ([USER, called("a"), called("b"), result("a"), result("b")], "did not have response messages: a"),
    ],
)
def test_conversations_that_chat_completions_refuse(messages: Any, refusal: str) -> None:
    told: list[str] = []
    with unfollowed([Say("Hello.")], told) as model:
        assert refusal in message_of(chat(model, messages))
    assert told[1].startswith("- turn 1: ")
    assert refusal in told[1]


def test_options_for_a_stream_without_one_are_refused() -> None:
    with unfollowed([Say("Hello.")]) as model:
        assert "only allowed with 'stream'" in message_of(chat(model, [USER], stream_options={"include_usage": True}))


@pytest.mark.parametrize(
    ("items", "refusal"),
    [
        ([], "Missing required parameter"),
        (None, "expected an array"),
        ([{"role": "tool", "content": "x"}], "'tool'"),
        ([USER, item_output("a")], "No tool call found for function call output with call_id a."),
        ([USER, item("a")], "No tool output found for function call a."),
        ([USER, item("a"), item("b"), item_output("b")], "No tool output found for function call a."),
        ([USER, item_output("a"), item("a")], "No tool call found"),
    ],
)
def test_conversations_that_responses_refuse(items: Any, refusal: str) -> None:
    with unfollowed([Say("Hello.")]) as model:
        assert refusal in message_of(respond(model, items))


def test_conversations_that_are_fine() -> None:
    parts = [{"type": "text", "text": "=> "}, {"type": "text", "text": "42"}]
    input_parts = [{"type": "input_text", "text": "=> 42"}]
    with ScriptedModel([Turn(Say("Yes."), output="=> 42")] * 5) as model:
        for messages in (
            [USER, called("a"), result("a", parts)],
            [{"role": "developer", "content": "Be brief."}, USER, called("a", "b"), result("b"), result("a")],
        ):
            assert chat(model, messages).status_code == 200
        for items in (
            [USER, item("a"), item_output("a", input_parts)],
            [USER, item("a"), item("b"), item_output("b"), item_output("a")],
            [USER, {"type": "reasoning", "summary": []}, item("a"), item_output("a"), item("b"), item_output("b")],
        ):
            assert respond(model, items).status_code == 200
        assert [request.outputs for request in model.requests] == [
            ("=> 42",),
            ("=> 42", "=> 42"),
            ("=> 42",),
            ("=> 42", "=> 42"),
            ("=> 42",),
        ]


def test_previous_responses_are_remembered() -> None:
    with ScriptedModel([Call("node_interpreter"), Turn(Say("Yes."), output="42"), Say("Bye.")]) as model:
        first = respond(model, "Go.", tools=FLAT_TOOLS).json()
        second = respond(model, [item_output(first["output"][0]["call_id"])], previous_response_id=first["id"]).json()
        assert second["output"][0]["content"][0]["text"] == "Yes."
        respond(model, "And?", previous_response_id=second["id"], store=False)
        assert [message.text for message in model.requests[-1].messages] == ["Go.", "", "=> 42", "Yes.", "And?"]


def test_what_was_not_stored_is_not_found() -> None:
    with unfollowed([Say("Hello.")]) as model:
        first = respond(model, "Go.", store=False).json()
        assert "not found" in message_of(respond(model, "And?", previous_response_id=first["id"]))


# What the script expects


def is_short(text: str) -> bool:
    return len(text) < 9


def says_why(text: str) -> bool:
    raise LookupError(f"no sum in {text}")


@pytest.mark.parametrize(
    ("turn", "problem"),
    [
        (Turn(Say("x"), tools=["other"]), "the client offers no tool 'other'"),
        (Call("other"), "the client offers no tool 'other' to call"),
        (Turn(Say("x"), message="primes"), "the last message holds no 'primes'; it is '=> 42 apples'"),
        (Turn(Say("x"), output="43"), "the tool result holds no '43'; it is '=> 42 apples'"),
        (Turn(Say("x"), output=re.compile("^42")), "nothing in the tool result matches '^42'; it is '=> 42 apples'"),
        (Turn(Say("x"), output=is_short), "is_short says no to the tool result; it is '=> 42 apples'"),
        (Turn(Say("x"), output=says_why), "says_why says no to the tool result: LookupError: no sum in => 42 apples"),
        (lambda request: 1 / 0, "the turn's function raised ZeroDivisionError: division by zero"),
        (lambda request: Fail() and [], "A model answers with Say, Call or Fail, or with several of them, not []."),
        (lambda request: Call("other"), "the client offers no tool 'other' to call"),
    ],
)
def test_an_expectation_that_is_not_met_is_told_twice(turn: Any, problem: str) -> None:
    told: list[str] = []
    with unfollowed([turn, Say("Never said.")], told) as model:
        answer = chat(model, [USER, called("a"), result("a", "=> 42 apples")], tools=TOOLS)
        assert message_of(answer) == f"turn 1: {problem}" or message_of(answer).startswith(f"turn 1: {problem}; it is")
    first, problem_told, *left = told
    assert first == "The scripted model was not used as its script says:"
    assert problem_told.startswith(f"- turn 1: {problem}")
    assert left[0].startswith("- turn 1 was not played: ")
    assert left[1] == "- turn 2 was not played: \"Say(text='Never said.')\""


def test_all_that_is_unmet_is_told_at_once() -> None:
    with unfollowed([Turn(Say("x"), tools=["a", "b"], output="42")]) as model:
        assert message_of(chat(model, [USER])).splitlines() == [
            "turn 1: the client offers no tool 'a'",
            "turn 1: the client offers no tool 'b'",
            "turn 1: the conversation does not end with a tool result",
        ]


@pytest.mark.parametrize(
    ("asked", "problem"),
    [
        ({}, "offers no tool"),
        ({"tools": TOOLS, "tool_choice": "none"}, "forbids tool calls"),
        ({"tools": TOOLS, "parallel_tool_calls": False}, "forbids several calls"),
        ({"tools": TOOLS, "n": 2}, "one choice only"),
    ],
)
def test_calls_that_no_model_could_make(asked: dict[str, Any], problem: str) -> None:
    with unfollowed([[Call("node_interpreter"), Call("node_interpreter")]]) as model:
        assert problem in message_of(chat(model, [USER], **asked))


def test_a_text_where_the_client_wants_a_call() -> None:
    with unfollowed([Say("No.")]) as model:
        assert "wants a tool call" in message_of(chat(model, [USER], tools=TOOLS, tool_choice="required"))


def test_a_model_may_call_what_there_is_not_when_the_script_says_so() -> None:
    with ScriptedModel([Turn(Call("other"), tools=[])]) as model:
        assert chat(model, [USER]).status_code == 200


def test_a_function_answers_from_what_was_sent() -> None:
    def answer(request: ModelRequest) -> list[Say | Call]:
        assert request.api == "chat"
        assert request.headers["user-agent"].startswith("python-httpx")
        return [Say(f"{request.tools} {request.output}"), Call("node_interpreter", code=request.text)]

    with ScriptedModel([answer]) as model:
        message = chat(model, [USER, called("a"), result("a")], tools=TOOLS).json()["choices"][0]["message"]
    assert message["content"] == "('node_interpreter',) => 42"
    assert message["tool_calls"][0]["function"]["arguments"] == '{"code": "=> 42"}'


def test_a_turn_that_was_refused_is_still_to_be_played() -> None:
    told: list[str] = []
    with unfollowed([Turn(Say("Hello."), message="please")], told) as model:
        assert chat(model, [USER]).status_code == 400
        assert chat(model, [{"role": "user", "content": "Say hello, please."}]).status_code == 200
        assert len(model.requests) == 2
    assert len(told) == 2


def test_a_request_after_the_end_is_refused() -> None:
    told: list[str] = []
    with unfollowed([Say("Hello.")], told) as model:
        assert chat(model, [USER]).status_code == 200
        model.check()
        assert message_of(chat(model, [USER])) == "turn 2: the script is over after 1 turns; the last message is 'Go.'"


def test_an_exception_in_the_block_is_not_replaced() -> None:
    with pytest.raises(KeyError), ScriptedModel([Say("Hello.")]):
        raise KeyError("mine")


@pytest.mark.parametrize(
    ("fail", "headers", "kind"),
    [
        (Fail(), {}, "server_error"),
        (
            Fail(429, "Slow down.", code="rate_limit_exceeded", retry_after=0.5),
            {"retry-after": "1", "retry-after-ms": "500.0"},
            "rate_limit_error",
        ),
        (Fail(400, "Too long.", code="context_length_exceeded"), {}, "invalid_request_error"),
    ],
)
def test_the_service_fails_when_the_script_says_so(fail: Fail, headers: dict[str, str], kind: str) -> None:
    with ScriptedModel([fail, Say("Hello.")]) as model:
        answer = chat(model, [USER], stream=True)
        assert message_of(answer, fail.status) == fail.message
        assert answer.json()["error"]["type"] == kind
        assert answer.json()["error"]["code"] == fail.code
        assert {name: value for name, value in answer.headers.items() if name.startswith("retry")} == headers
        assert chat(model, [USER]).status_code == 200


@pytest.mark.parametrize(
    "script",
    [
        [[]],
        [[Say("a"), Say("b")]],
        [[Fail(), Say("a")]],
        ["Hello."],
        [7],
    ],
    ids=str,
)
def test_a_script_that_can_not_be_played_is_refused_at_once(script: Any) -> None:
    with pytest.raises(ConfigurationError):
        ScriptedModel(script)


def test_requests_at_the_same_time_get_a_turn_each() -> None:
    answers: list[str] = []
    with ScriptedModel([Say(str(number)) for number in range(20)]) as model:

        def ask() -> None:
            answers.append(chat(model, [USER]).json()["choices"][0]["message"]["content"])

        threads = [threading.Thread(target=ask) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(answers, key=int) == [str(number) for number in range(20)]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.sampled_from(["tool", "user", "function"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "type", "content", "text", "tool_calls", "id", "call_id", "function", "name"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
FIELDS = ["messages", "input", "tools", "stream_options", "stream", "tool_choice", "previous_response_id", "store", "n"]


@pytest.fixture(scope="module")
def patient() -> Iterator[ScriptedModel]:
    with pytest.raises(ScriptError):
        with ScriptedModel([Say("Hello.")] * 1000) as model:
            yield model


@settings(
    deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(path=st.sampled_from(["chat/completions", "responses"]), body=st.dictionaries(st.sampled_from(FIELDS), JSON))
def test_whatever_is_sent_gets_an_answer_or_a_reason(patient: ScriptedModel, path: str, body: dict[str, Any]) -> None:
    body = {"messages": [USER], "input": "Go.", "model": patient.name} | body
    answer = post(patient, f"/v1/{path}", body)
    assert answer.status_code in (200, 400), answer.text
