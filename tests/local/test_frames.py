"""The pipe's protocol: whole frames in any pieces, and nothing else."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aca_node_interpreter.local import frames

KINDS = st.sampled_from(b"LOEDVX")


def encode(kind: int, payload: bytes) -> bytes:
    return bytes([kind]) + len(payload).to_bytes(4, "big") + payload


# The examples are kept nowhere: the checkout may be read-only.
forgetful = settings(database=None)


@forgetful
@given(st.lists(st.tuples(KINDS, st.binary(max_size=40)), max_size=8), st.integers(1, 20))
def test_frames_survive_being_cut_anywhere(sent: list[tuple[int, bytes]], size: int) -> None:
    stream = b"".join(encode(*frame) for frame in sent)
    reader = frames.FrameReader()
    received = [frame for start in range(0, len(stream), size) for frame in reader.feed(stream[start : start + size])]
    assert received == sent


@forgetful
@given(st.binary(max_size=200))
def test_any_bytes_are_frames_or_an_error(data: bytes) -> None:
    try:
        for kind, payload in frames.FrameReader().feed(data):
            assert kind in b"LOEDVX"
            assert len(payload) <= len(data)
    except frames.FrameError:
        pass


@forgetful
@given(st.text())
def test_a_run_carries_any_text(code: str) -> None:
    frame = frames.encode_run(1, code)
    assert frame[:1] == b"R"
    assert int.from_bytes(frame[1:5], "big") == len(frame) - 5
    assert json.loads(frame[5:]) == {"id": 1, "code": code}


def test_a_frame_that_announces_too_much_is_refused_before_it_comes() -> None:
    with pytest.raises(frames.FrameError):
        list(frames.FrameReader().feed(b"O" + (frames.MAX_FRAME_BYTES + 1).to_bytes(4, "big")))


@pytest.mark.parametrize("payload", [b"", b"[]", b"{", b"\xff", b"NaN", b'{"a":Infinity}', b"[" * 100_000])
def test_only_json_objects_are_messages(payload: bytes) -> None:
    with pytest.raises(frames.FrameError):
        frames.decode_object(payload)
