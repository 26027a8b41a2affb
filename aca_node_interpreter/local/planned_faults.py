"""Which call meets which fault, and which faults were met; changed by any thread while the pool serves."""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aca_node_interpreter.errors import ConfigurationError

from .faults import CallName, Fault, Spared

if TYPE_CHECKING:
    from starlette.responses import Response

    from .exchange import Exchange

_REMEMBERED = 10_000


@dataclass(frozen=True)
class Met:
    """A fault that a call has met."""

    fault: Fault
    call: CallName
    identifier: str = field(repr=False)
    """The session's, as sent; "" where the call names none."""


class PlannedFaults:
    """The faults of a pool, in order: what one lets through meets the next, and its reply comes back through both."""

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._lock = threading.Lock()
        self._plans: tuple[_Plan, ...] = ()
        self._met: deque[Met] = deque(maxlen=_REMEMBERED)
        self.add(*faults)

    def __bool__(self) -> bool:
        """Tell whether there are any."""
        return bool(self._plans)

    def __iter__(self) -> Iterator[Fault]:
        """Give the faults in their order."""
        return (plan.fault for plan in self._plans)

    def add(self, *faults: Fault) -> None:
        """Have calls meet these faults, too, from now on.

        Raises:
            ConfigurationError: one is no fault.
        """
        for fault in faults:
            if not isinstance(fault, Fault):
                raise ConfigurationError(f"{fault!r} is no fault: pass one such as faults.Reset().")
        with self._lock:
            self._plans += tuple(map(_Plan, faults))

    def clear(self) -> None:
        """Have no more faults, and forget what was met."""
        with self._lock:
            self._plans = ()
            self._met.clear()

    @property
    def met(self) -> list[Met]:
        """The faults that calls have met, in their order; the last 10,000."""
        with self._lock:
            return list(self._met)

    @property
    def pending(self) -> list[Fault]:
        """The faults that were not met yet, or not as many `times` as they were to be."""
        with self._lock:
            return [plan.fault for plan in self._plans if plan.met < (plan.fault.times or 1)]

    async def meet(self, exchange: Exchange) -> Response:
        """Have a call performed, with the faults whose turn it is."""
        return await self._meet(exchange, self._plans)

    async def _meet(self, exchange: Exchange, plans: Sequence[_Plan]) -> Response:
        # One by one, so that no fault is counted that a call does not come to.
        for number, plan in enumerate(plans, 1):
            if exchange.call_name in plan.fault.calls and plan.fault.concerns(exchange) and self._take_turn(plan):
                return await self._apply(plan, exchange, plans[number:])
        return await exchange.perform()

    async def _apply(self, plan: _Plan, exchange: Exchange, rest: Sequence[_Plan]) -> Response:
        met = Met(plan.fault, exchange.call_name, exchange.identifier)
        with self._lock:
            self._met.append(met)
        outcome = await plan.fault.apply(exchange, lambda: self._meet(exchange, rest))
        if not isinstance(outcome, Spared):
            return outcome
        with self._lock:
            others = [each for each in self._met if each is not met]  # an equal one is another call's
            self._met = deque(others, maxlen=_REMEMBERED)
            plan.met -= 1
        return outcome.reply

    def _take_turn(self, plan: _Plan) -> bool:
        with self._lock:
            return plan.take_turn()


class _Plan:
    """A fault, and how many calls it has seen."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.met = 0
        self._seen = 0
        self._chance = random.Random(fault.seed)  # noqa: S311 - repeatable, not secret

    def take_turn(self) -> bool:
        """Count a call, and tell whether it meets the fault."""
        fault = self.fault
        number = self._seen - fault.skip
        self._seen += 1
        if number < 0 or number % fault.every or (fault.times is not None and self.met >= fault.times):
            return False
        if self._chance.random() >= fault.probability:
            return False
        self.met += 1
        return True
