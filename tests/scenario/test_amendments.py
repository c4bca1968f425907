"""Ten thousand contacts, three thousand amended: it ends as if every contact had come right the first time."""

import random
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest

from pegel.eventlog.connect import connect
from pegel.eventlog.fencing import Fence, head
from pegel.eventlog.identity import open_identity
from pegel.eventlog.port import REJECTED, WINDOWS, Record
from pegel.runtime.settings import Settings
from pegel.schemas.contact import AmendmentRecord, AmendmentSet, ContactRecord
from pegel.schemas.detection import BucketRecord, PartitionTotals, WindowRecord
from pegel.schemas.rejected import RejectedRecord
from support.whole import START, booked_to, bucket, contact, data_mode, put, run_until, tick

pytestmark = pytest.mark.timeout(120)

CONTACTS: Final = 10_000
AMENDED: Final = 3_000
HALF_MINUTES: Final = 150
"""Contacts of the first half happen in these; then everything is stopped and begun again."""
STEP_MINUTES: Final = 25
"""What happened in so much time comes together, and then a tick."""

Item = ContactRecord | AmendmentRecord
Sums = Counter[tuple[Any, ...]]


@dataclass
class Story:
    """What is sent, step by step, and what each contact is in the end (None: it was none)."""

    steps: list[list[Item]] = field(default_factory=list)
    truth: dict[str, ContactRecord | None] = field(default_factory=dict)
    unknown: set[str] = field(default_factory=set)
    """Amendments that no contact is there for."""
    copies: int = 0
    voided: int = 0


def change(chance: random.Random, minutes_max: float) -> dict[str, Any]:
    """What an amendment says beside its ids."""
    if chance.random() < 0.15:
        return {"void": True, "reason": chance.choice(["spam", "test", "duplicate"])}
    values: dict[str, Any] = {
        "topic": chance.choice(["atm", "cards", "login", "fees"]),
        "country": chance.choice(["ES", "PT", "DE"]),
        "channel": chance.choice(["phone", "chat", "email"]),
        "occurred_at": START + timedelta(minutes=chance.uniform(0, minutes_max)),
        "handled_seconds": chance.randrange(1, 2000),
        "handler": chance.choice(["in_house", "partner", "self_service"]),
        "complaint": chance.random() < 0.5,
        "outcome": chance.choice(["answered", "abandoned"]),
    }
    said = chance.sample(sorted(values), chance.randrange(1, 4))
    return {"set": {name: values[name] for name in said}, "reason": chance.choice(["wrap_up", "retagged"])}


def told() -> Story:
    """The same story at each call."""
    chance, story = random.Random(4), Story()
    sent: list[ContactRecord] = []
    times = sorted(chance.uniform(0, 2 * HALF_MINUTES) for _ in range(CONTACTS))
    steps = 2 * HALF_MINUTES // STEP_MINUTES
    story.steps = [[] for _ in range(steps)]
    for number, minutes in enumerate(times):
        fields: dict[str, Any] = {"topic": chance.choice(["atm", "cards", "login"])}
        if chance.random() < 0.5:
            fields |= {"country": "PT", "handled_seconds": chance.randrange(1000), "handler": "in_house"}
        made = contact(number, minutes, **fields)
        story.truth[made.event_id] = made
        sent.append(made)
        story.steps[int(minutes // STEP_MINUTES)].append(made)
    amended = chance.sample(range(CONTACTS), AMENDED)
    for turn, number in enumerate(amended):
        first = int(times[number] // STEP_MINUTES)
        for again in range(chance.choice([1, 1, 1, 2, 3])):
            step = min(steps - 1, first + chance.randrange(0, 8))  # at once, later, and after the restart
            first = step  # an amendment stands after the one before it
            amendment = AmendmentRecord.model_validate(
                {
                    "amendment_id": f"a{turn}.{again}",
                    "event_id": f"c{number}",
                    "source": "desk",
                    **change(chance, (step + 1) * STEP_MINUTES - 0.1),
                }
            )
            story.steps[step].append(amendment)
            if chance.random() < 0.1:  # sent again, with another answer: the id decides
                repeated = amendment.model_copy(update=otherwise(amendment))
                story.steps[min(steps - 1, step + chance.randrange(0, 3))].append(repeated)
            if chance.random() < 0.1:  # a source that sends the contact again as it was
                story.steps[step].append(sent[number])
                story.copies += 1
            apply(story, amendment)
    for number in range(50):
        stray = AmendmentRecord(amendment_id=f"s{number}", event_id=f"nobody{number}", source="desk",
                                reason="spam", void=True)  # fmt: skip
        story.steps[number % steps].append(stray)
        story.unknown.add(stray.amendment_id)
    return story


def otherwise(amendment: AmendmentRecord) -> dict[str, Any]:
    return {"void": True, "set": None} if amendment.set else {"void": False, "set": AmendmentSet(topic="fees")}


def apply(story: Story, amendment: AmendmentRecord) -> None:
    """What the contact is from now on."""
    before = story.truth[amendment.event_id]
    if before is None:
        story.unknown.add(amendment.amendment_id)  # there is nothing to amend in what was no contact
    elif amendment.void:
        story.truth[amendment.event_id] = None
        story.voided += 1
    else:
        assert amendment.set is not None
        changes = amendment.set.model_dump(exclude_none=True)
        story.truth[amendment.event_id] = before.model_copy(update=changes)


async def send(settings: Settings, steps: Sequence[Sequence[Item]], minutes: float) -> float:
    """Each step's items, then a tick at its end; where that is. minutes: where the first step begins.

    A last tick, a minute later, closes the last bucket of the story.
    """
    log = connect(settings)
    try:
        await open_identity(log, settings)
        await tick(log, settings.partitions, minutes)
        for items in steps:
            minutes += STEP_MINUTES
            await put(log, settings.partitions, items)
            await tick(log, settings.partitions, minutes)
        if minutes == 2 * HALF_MINUTES:
            await tick(log, settings.partitions, minutes + 1)
    finally:
        await log.close()
    return minutes


async def everything(settings: Settings, stream: str) -> list[Record]:
    """A stream of one partition, from its beginning."""
    log = connect(settings)
    try:
        end = (await log.bounds(stream))[0].end
        reader = log.reader(stream, {0: 0})
        found: list[Record] = []
        while len(found) < end:
            found += (await reader.fetch()).get(0, ())
        await reader.close()
        return found
    finally:
        await log.close()


async def taken(settings: Settings) -> list[WindowRecord | BucketRecord]:
    """What readers take of the stream windows."""
    fence = Fence()
    found: list[WindowRecord | BucketRecord] = []
    for record in await everything(settings, WINDOWS):
        what = head(record.value)
        if what.kind == "claim":
            assert what.producer is not None
            assert what.epoch is not None
            fence.claim(what.producer, what.epoch)
        elif (origin := what.origin) and fence.passes(origin.producer, origin.epoch, (origin.offset, origin.place)):
            if what.kind == "window":
                found.append(WindowRecord.decode(record.value))
            elif what.kind == "bucket":
                found.append(BucketRecord.decode(record.value))
    return found


@dataclass(frozen=True)
class World:
    """What came of a story. contacts, seconds: by bucket and cell; quantities, amounts: by accounts too."""

    contacts: Sums
    seconds: Sums
    quantities: Sums
    amounts: Sums
    totals: PartitionTotals


async def world(settings: Settings) -> World:
    contacts, seconds, quantities, amounts = Sums(), Sums(), Sums(), Sums()
    scored: Counter[tuple[int, tuple[str, ...]]] = Counter()
    records = await taken(settings)
    for record in records:
        if isinstance(record, BucketRecord):
            continue
        rows = record.additions
        for cell, count, handled in zip(rows.cell, rows.contacts, rows.handled_seconds, strict=True):
            place = (record.bucket, *sorted(rows.cells[cell].items()))
            contacts[place] += count
            seconds[place] += handled
        if record.score:
            scored.update((record.bucket, segment) for segment in record.segments)
    assert not scored or max(scored.values()) == 1, "a score that was given stands: there is no second one"
    with closing(sqlite3.connect(settings.data_dir / "pegel.sqlite")) as database:
        entries = database.execute("SELECT bucket, cell, debit, credit, quantity, amount_micros FROM ledger_entries")
        for at, cell, debit, credit, quantity, amount in entries:
            quantities[at, cell, debit, credit] += quantity
            amounts[at, cell, debit, credit] += amount
    last = [record for record in records if isinstance(record, BucketRecord)][-1]
    sums: Counter[str] = Counter()
    for covered in last.covered:
        sums.update(covered.totals.model_dump())
    return World(nonzero(contacts), nonzero(seconds), nonzero(quantities), nonzero(amounts), PartitionTotals(**sums))


def nonzero(sums: Sums) -> Sums:
    return Sums({place: value for place, value in sums.items() if value})


async def run(settings: Settings, minutes: float) -> None:
    """Detector and alerter, until the buckets up to there are booked."""
    reached = booked_to(settings)
    await run_until(settings, lambda: reached() >= bucket(minutes), seconds=60)


async def test_amended_contacts_end_as_if_they_had_come_right_the_first_time(tmp_path: Path) -> None:
    story = told()
    restart = len(story.steps) // 2
    amendments = [item for step in story.steps for item in step if isinstance(item, AmendmentRecord)]
    assert len({item.event_id for item in amendments if item.event_id.startswith("c")}) == AMENDED
    assert any(isinstance(item, AmendmentRecord) for item in story.steps[restart])

    # half of it | everything stopped and begun again | the other half, and amendments of both
    amended = data_mode(tmp_path / "amended", partitions=2)
    minutes = await send(amended, story.steps[:restart], 0)
    await run(amended, minutes - 5)  # the last bucket is open, and stays so over the restart
    written = await everything(amended, WINDOWS)
    end = await send(amended, story.steps[restart:], minutes)
    await run(amended, end)
    assert (await everything(amended, WINDOWS))[: len(written)] == written

    # The second world: the same contacts, as they were in the end.
    right = data_mode(tmp_path / "right", partitions=2)
    contacts = [each for each in story.truth.values() if each is not None]
    steps: list[list[Item]] = [[] for _ in story.steps]
    for each in contacts:
        steps[int((each.occurred_at - START).total_seconds() // 60 // STEP_MINUTES)].append(each)
    assert await send(right, steps, 0) == end
    await run(right, end)

    one, other = await world(amended), await world(right)
    assert other.contacts.total() == len(contacts) == CONTACTS - story.voided
    assert one.contacts == other.contacts
    assert one.seconds == other.seconds
    assert one.quantities == other.quantities
    assert one.amounts == other.amounts
    assert (one.totals.contacts, one.totals.copies, one.totals.voided) == (
        CONTACTS + story.copies,
        story.copies,
        story.voided,
    )

    rejected = [
        RejectedRecord.decode(record.value)
        for record in await everything(amended, REJECTED)
        if head(record.value).kind == "rejected"
    ]
    assert {record.reason for record in rejected} == {"unknown_contact"}
    assert {record.amendment_id for record in rejected} == story.unknown  # one that is repeated is rejected again
