"""How a conversation comes to have a session in a pool that has only so many: flows, for both clients."""

from __future__ import annotations

import logging
import math

from aca_node_interpreter import telemetry
from aca_node_interpreter.errors import ConfigurationError
from aca_node_interpreter.rest.flow import Await, Flow, Sleep
from aca_node_interpreter.rest.patience import Deadline

from .conversations import Conversation, Conversations
from .endings import Endings
from .places import probe_after
from .turns import STOPS_THE_LOOP

_log = logging.getLogger("aca_node_interpreter")


def admitted(
    conversations: Conversations,
    endings: Endings,
    talk: Conversation,
    deadline: Deadline,
    *,
    stops_the_loop: bool = False,
) -> Flow[None]:
    """Wait, in the conversation's turn, for a place to be free for it, and end sessions that are long idle.

    Args:
        conversations: all that there are.
        endings: end sessions.
        talk: the conversation.
        deadline: when waiting must be over.
        stops_the_loop: whether waiting holds up an event loop on which others may have the places.

    Raises:
        ConfigurationError: it would, for ever.
        DeadlineExceededError: there was no place in time.
    """
    if idle := conversations.end_idle():
        yield Await(endings.begin(idle), math.inf)
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
        yield Await(endings.begin(leaving), math.inf)


def readmitted(
    conversations: Conversations, endings: Endings, talk: Conversation, deadline: Deadline, seconds: float
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
        yield Await(endings.begin(leaving), math.inf)
