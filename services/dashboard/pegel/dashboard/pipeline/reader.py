"""Asks the alerter, and remembers what it last said for as long as it can't be asked."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Final

from pegel.dashboard.domain.board import HOURS, Known, Period
from pegel.dashboard.ports import Alerter, RefusedError, UnreachableError
from pegel.runtime import logs
from pegel.schemas.incident import IncidentList
from pegel.schemas.ledger import CostList

INCIDENTS_MAX: Final = 200
RESOLVED_SHOWN: Final = 5
FRESH_SECONDS: Final = 1.0
"""However many people look, the alerter is asked at most once in this time."""

log = logs.get(__name__)


class Reader:
    """What is known now. note: told None when the alerter answers, else what is wrong, at every question."""

    def __init__(
        self,
        alerter: Alerter,
        *,
        note: Callable[[str | None], None],
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        self._alerter, self._note, self._now, self._monotonic = alerter, note, now, monotonic
        self._known = Known()
        self._costs: dict[Period, CostList] = {}
        self._asked_at: dict[Period, float] = {}
        self._turn = asyncio.Lock()

    async def known(self, period: Period) -> Known:
        """What the alerter says now or, with the fault, said last; not older than FRESH_SECONDS where it answers."""
        async with self._turn:
            asked_at = self._asked_at.get(period)
            if asked_at is None or self._monotonic() - asked_at >= FRESH_SECONDS:
                await self._ask(period)
                self._asked_at[period] = self._monotonic()
            return replace(self._known, costs=self._costs.get(period))

    def forget(self) -> None:
        """Something was changed: ask again at the next look."""
        self._asked_at.clear()

    async def _ask(self, period: Period) -> None:
        answers = await asyncio.gather(
            self._alerter.incidents("open", INCIDENTS_MAX),
            self._alerter.incidents("acknowledged", INCIDENTS_MAX),
            self._alerter.incidents("resolved", RESOLVED_SHOWN),
            self._alerter.costs(HOURS[period]),
            return_exceptions=True,
        )
        fault = None
        for answer in answers:
            if isinstance(answer, UnreachableError | RefusedError):
                fault = fault or str(answer)
            elif isinstance(answer, BaseException):
                raise answer
        open_, acknowledged, resolved, costs = answers
        known = self._known
        if isinstance(costs, CostList):
            self._costs[period] = costs
        self._known = Known(
            open=open_ if isinstance(open_, IncidentList) else known.open,
            acknowledged=acknowledged if isinstance(acknowledged, IncidentList) else known.acknowledged,
            resolved=resolved if isinstance(resolved, IncidentList) else known.resolved,
            fault=fault,
            fault_since=None if fault is None else known.fault_since or self._now(),
        )
        if fault != known.fault:
            if fault is None:
                log.info("alerter_answers")
            else:
                log.warning("alerter_away", reason=fault)
        self._note(fault)
