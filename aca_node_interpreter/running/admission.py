"""How a conversation comes to have a session in a pool that has only so many: flows, for both clients."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from contextlib import suppress

from aca_node_interpreter import telemetry
from aca_node_interpreter.errors import AcaNodeError, ConfigurationError
from aca_node_interpreter.rest.client import SessionPoolClient
from aca_node_interpreter.rest.flow import Await, Flow, Sleep
from aca_node_interpreter.rest.patience import Deadline, Patience
from aca_node_interpreter.rest.side_by_side import side_by_side
from aca_node_interpreter.rest.waiting import begun

from .conversations import Conversation, Conversations
from .places import probe_after
from .turns import STOPS_THE_LOOP

# Sessions that are ended side by side, and the seconds for each.
_SIDE_BY_SIDE = 8
_END_SECONDS = 10.0

_log = logging.getLogger("aca_node_interpreter")


def admitted(
    conversations: Conversations,
    client: SessionPoolClient,
    talk: Conversation,
    deadline: Deadline,
    *,
    stops_the_loop: bool = False,
) -> Flow[None]:
    """Wait, in the conversation's turn, for a place to be free for it, and end sessions that are long idle.

    Args:
        conversations: all that there are.
        client: ends sessions, in threads that go on when nobody waits any more.
        talk: the conversation.
        deadline: when waiting must be over.
        stops_the_loop: whether waiting holds up an event loop on which others may have the places.

    Raises:
        ConfigurationError: it would, for ever.
        DeadlineExceededError: there was no place in time.
    """
    if idle := conversations.end_idle():
        yield from _given_back(client, idle)
    if talk.place is not None:
        return
    place, places = conversations.place_for(talk), conversations.places
    try:
        if stops_the_loop and not place.done() and conversations.are_held_up_here:
            raise ConfigurationError(STOPS_THE_LOOP)
        while not (yield Await(place, min(deadline.left(), probe_after()))):
            places.check_deadline(deadline)
            places.probe()
    except BaseException:
        places.give_up(place)
        raise
    if leaving := conversations.place_taken(talk, place):
        yield from _given_back(client, leaving)


def readmitted(
    conversations: Conversations, client: SessionPoolClient, talk: Conversation, deadline: Deadline, seconds: float
) -> Flow[None]:
    """Wait, after the pool was full, for a session that an idle conversation leaves, or for so many seconds for any.

    Raises:
        DeadlineExceededError: there was none in time.
    """
    _log.info("The session pool is full: waiting for a session")
    place, places = conversations.another_place_for(talk), conversations.places
    if place is None:
        # Of files that go side by side one waits in line; the others would take more places.
        yield Sleep(seconds)
        return
    try:
        with telemetry.span("allocate"):
            while not (yield Await(place, seconds)):
                places.check_deadline(deadline)
                if places.insist(place):
                    break
    except BaseException:
        places.give_up(place)
        raise
    if leaving := conversations.place_taken(talk, place):
        yield from _given_back(client, leaving)


def _given_back(client: SessionPoolClient, talks: Sequence[Conversation]) -> Flow[None]:
    """End sessions, which goes on, having begun at once, when nobody waits for it any more."""
    yield Await(begun(lambda: give_back(client, talks)), math.inf)


def give_back(client: SessionPoolClient, talks: Sequence[Conversation]) -> None:
    """End sessions, side by side; one that can't be told ends by itself after its cooldown."""

    def end(talk: Conversation) -> None:
        with suppress(AcaNodeError):
            client.perform(talk.given_back(), Patience(Deadline.after(_END_SECONDS)))

    side_by_side(end, talks, _SIDE_BY_SIDE)
