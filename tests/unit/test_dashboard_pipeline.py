"""Asking the alerter, and keeping pictures: fakes on both sides, time moved by hand."""

import asyncio
from dataclasses import dataclass
from datetime import datetime

import pytest

from pegel.dashboard.domain.costs import Costs, costs_of
from pegel.dashboard.pipeline.charts import KEPT, RETRY_SECONDS, Charts, key_of
from pegel.dashboard.pipeline.reader import FRESH_SECONDS, Reader
from pegel.dashboard.ports import DrawError
from support.dashboards import NIGHT, FakeAlerter, FakePainter, bad_night, costs


@dataclass
class Clock:
    seconds: float = 100.0

    def __call__(self) -> float:
        return self.seconds


def some(amount: str) -> Costs:
    return costs_of(costs([("cards", "cards", 1, amount)]), NIGHT)


class Asking:
    """A reader on a fake alerter, and what it noted."""

    def __init__(self, alerter: FakeAlerter) -> None:
        self.clock, self.noted = Clock(), list[str | None]()
        self.reader = Reader(alerter, note=self.noted.append, now=self.now, monotonic=self.clock)

    def now(self) -> datetime:
        return NIGHT


async def test_however_many_look_the_alerter_is_asked_once() -> None:
    alerter = bad_night()
    asking = Asking(alerter)
    await asyncio.gather(*(asking.reader.known("24h") for _ in range(20)))
    assert alerter.asked == 4
    asking.clock.seconds += FRESH_SECONDS
    await asking.reader.known("24h")
    assert alerter.asked == 8


async def test_a_change_is_seen_at_the_next_look() -> None:
    alerter = bad_night()
    asking = Asking(alerter)
    await asking.reader.known("24h")
    await alerter.change("inc-atm-es", "acknowledge", "by hand", None)
    asking.reader.forget()
    known = await asking.reader.known("24h")
    assert known.open is not None
    assert known.open.items == ()


async def test_what_was_said_last_is_kept_with_the_fault_and_since_when() -> None:
    alerter = bad_night()
    asking = Asking(alerter)
    before = await asking.reader.known("24h")
    alerter.fault = "no connection"
    asking.clock.seconds += 5
    known = await asking.reader.known("24h")
    assert (known.fault, known.fault_since) == ("no connection", NIGHT)
    assert (known.open, known.costs) == (before.open, before.costs)
    alerter.fault = None
    asking.clock.seconds += 5
    assert (await asking.reader.known("24h")).fault is None
    assert asking.noted == [None, "no connection", None]


async def test_a_defect_is_not_taken_for_an_alerter_that_is_away() -> None:
    class Broken(FakeAlerter):
        async def costs(self, hours: int) -> None:  # type: ignore[override]
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await Asking(Broken()).reader.known("24h")


async def test_the_same_numbers_are_drawn_once() -> None:
    painter = FakePainter()
    charts = Charts(painter, monotonic=Clock())
    key = key_of(some("5.00"))
    pictures = await asyncio.gather(*(charts.picture(key, some("5.00"), "wide", "light") for _ in range(9)))
    assert painter.drawn == 1
    assert len(set(pictures)) == 1
    assert charts.shown("24h", some("5.00")) == key
    assert painter.drawn == 1


async def test_a_picture_is_shown_until_the_next_is_drawn() -> None:
    painter = FakePainter()
    charts = Charts(painter, monotonic=Clock())
    first = charts.shown("24h", some("5.00"))
    assert first is not None
    await charts.picture(first, None, "wide", "light")
    painter.may_go_on.clear()
    assert charts.shown("24h", some("6.00")) == first
    painter.may_go_on.set()
    second = key_of(some("6.00"))
    await charts.picture(second, None, "wide", "light")
    assert charts.shown("24h", some("6.00")) == second


async def test_a_viewer_who_leaves_does_not_take_the_picture_from_the_others() -> None:
    painter = FakePainter()
    painter.may_go_on.clear()
    charts = Charts(painter, monotonic=Clock())
    key = key_of(some("5.00"))
    leaves = asyncio.create_task(charts.picture(key, some("5.00"), "wide", "light"))
    stays = asyncio.create_task(charts.picture(key, some("5.00"), "wide", "dark"))
    await asyncio.sleep(0)
    leaves.cancel()
    painter.may_go_on.set()
    assert b"<svg" in await stays


async def test_what_can_not_be_drawn_is_tried_again_later_and_not_before() -> None:
    painter, clock = FakePainter(), Clock()
    painter.fails = True
    charts = Charts(painter, monotonic=clock)
    key = charts.shown("24h", some("5.00"))
    assert key is not None
    with pytest.raises(DrawError):
        await charts.picture(key, some("5.00"), "wide", "light")
    assert charts.shown("24h", some("5.00")) is None
    assert painter.drawn == 1
    painter.fails = False
    clock.seconds += RETRY_SECONDS
    assert charts.shown("24h", some("5.00")) == key
    assert await charts.picture(key, some("5.00"), "wide", "light")


async def test_only_the_last_pictures_are_kept() -> None:
    charts = Charts(FakePainter(), monotonic=Clock())
    keys = []
    for number in range(KEPT + 1):
        keys.append(key_of(some(f"{number + 1}.00")))
        await charts.picture(keys[-1], some(f"{number + 1}.00"), "wide", "light")
    with pytest.raises(KeyError):
        await charts.picture(keys[0], None, "wide", "light")
    assert await charts.picture(keys[1], None, "wide", "light")


async def test_closing_ends_what_is_being_drawn() -> None:
    painter = FakePainter()
    painter.may_go_on.clear()
    charts = Charts(painter, monotonic=Clock())
    charts.shown("24h", some("5.00"))
    await charts.close()
    assert painter.drawn == 0
