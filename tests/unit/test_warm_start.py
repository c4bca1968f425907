"""`pegel warm-start`: what it writes to the log, what it refuses, and what it says."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from pegel.cli.history import END_MARK, encoded, parts_of
from pegel.cli.warm_start.app import Options, give_history, wait_until_learnt
from pegel.cli.warm_start.fitting import columns_of, past_of, value_faults
from pegel.detector.judge.domain.history import HistoryParts
from pegel.detector.judge.domain.lines import SMALL_MAX
from pegel.detector.judge.domain.reading import Reading
from pegel.eventlog.identity import open_identity
from pegel.eventlog.memory import MemoryLog
from pegel.eventlog.port import COUNTS, WINDOWS, NewRecord
from pegel.runtime.settings import ConfigurationError, Settings, load
from pegel.schemas.base import Origin
from pegel.schemas.detection import BucketRecord
from support.backtests import ATM, MONDAY, counts_of

DIMENSIONS = ("country", "topic")
CARDS = ("PT", "cards")
MADE = datetime(2026, 3, 2, 0, 7, 30, tzinfo=UTC)
"""The log was made then; buckets are of 1 minute, so its first begins at 00:08."""
FIRST = MADE.replace(minute=8, second=0)
READING = Reading(wall=True, bucket_seconds=60, delay_seconds=10, partitions=1, dimensions=2)


class Place:
    """A log made at MADE, a file beside it, and what the command says."""

    def __init__(self, folder: Path, **chosen: object) -> None:
        self.settings: Settings = load({}, partitions=1, **chosen)
        self.log = MemoryLog(lambda: int(MADE.timestamp() * 1000))
        self.file = folder / "past.csv"
        self.said: list[str] = []

    async def made(self) -> "Place":
        await open_identity(self.log, self.settings)
        return self

    def rows(self, rows: Mapping[tuple[str, ...], Sequence[int]], until: datetime, header: str = "") -> None:
        """Counts of 5 minutes up to a time."""
        lines = [header or "ts,country,topic,n"]
        for segment, counts in rows.items():
            for place, count in enumerate(counts):
                at = until - timedelta(minutes=5 * (len(counts) - place))
                if count:
                    lines.append(f"{at:%Y-%m-%dT%H:%M:%SZ},{','.join(segment)},{count}")
        self.file.write_text("\n".join(lines))

    async def give(self, after: timedelta = timedelta(minutes=1), **options: object) -> None:
        given = Options(self.file, count="n", **options)  # type: ignore[arg-type]
        await give_history(self.log, self.settings, given, (MADE + after).timestamp(), self.said.append)

    async def refused(self, **options: object) -> list[str]:
        before = await self.values()
        with pytest.raises(ConfigurationError) as fault:
            await self.give(**options)  # type: ignore[arg-type]
        assert await self.values() == before  # nothing was written
        return fault.value.faults

    async def values(self) -> list[bytes]:
        end = (await self.log.bounds(COUNTS))[0].end
        if not end:
            return []
        reader = self.log.reader(COUNTS, {0: 0})
        return [record.value for record in (await reader.fetch())[0]]

    async def judged(self, start: datetime, status: str = "observed") -> None:
        """The judge says that it judged the bucket that begins there."""
        number = int(start.timestamp()) // 60
        record = BucketRecord(
            origin=Origin(producer="judge/0", epoch=0, partition=0, offset=number, place=0),
            bucket=number,
            to=number + 1,
            as_of=start + timedelta(minutes=1),
            status=status,  # type: ignore[arg-type]
            covered=(),
            windows_contacts=0,
            segments=0,
        )
        await self.log.append(WINDOWS, 0, [NewRecord(record.encode())])


@pytest.fixture
async def place(tmp_path: Path) -> Place:
    return await Place(tmp_path).made()


def read(values: Sequence[bytes]) -> tuple[datetime, list[tuple[str, ...]], list[list[int]]]:
    """The history as the judge reads it: begin, segments, and counts of each step."""
    parts = HistoryParts()
    for value in values[:-1]:
        assert len(value) <= 512 * 1024
        parts.take(READING.line(value, 0))  # type: ignore[arg-type]
    history = parts.end(READING.line(values[-1], 0))  # type: ignore[arg-type]
    assert history.step_seconds == 300
    return datetime.fromtimestamp(history.start, UTC), history.segments, history.counts.tolist()


async def test_a_file_s_past_is_written_as_the_judge_reads_it(place: Place) -> None:
    place.rows({ATM: [3, 0, 5], CARDS: [0, 1, 2]}, MADE.replace(minute=5, second=0))
    await place.give()
    begin, segments, counts = read(await place.values())
    assert (begin, segments) == (MADE - timedelta(minutes=17, seconds=30), [ATM, CARDS])
    assert counts == [[3, 0], [0, 1], [5, 2]]
    assert place.said[-1].startswith("6 counts of 2 segments, 0.0 weeks up to 2026-03-02 00:05 UTC, written in ")


async def test_what_is_live_is_left_out_and_told(place: Place) -> None:
    # File:  23:55 ... 00:00 ... 00:05 ... 00:10 ... 00:15      the log's first bucket begins at 00:08,
    # Kept:  |    3      |    0     |                           so the step from 00:05 on is not whole before it
    place.rows({ATM: [3, 4, 5, 6], CARDS: [0, 0, 0, 9]}, MADE.replace(minute=15, second=0))
    await place.give()
    begin, segments, counts = read(await place.values())
    assert (begin.hour, begin.minute, segments, counts) == (23, 55, [ATM], [[3], [4]])
    assert (
        "20 contacts from 2026-03-02 00:05 UTC on are left out: the log's first bucket begins at 2026-03-02 00:08 UTC,"
        " and what is live is not learnt twice"
    ) in place.said


async def test_a_file_without_a_past_is_refused(place: Place) -> None:
    place.rows({ATM: [3]}, MADE + timedelta(days=2))
    assert await place.refused() == [
        "the log's first bucket begins at 2026-03-02 00:08 UTC, and nothing in the file is before it"
    ]


async def test_a_past_that_ended_long_ago_is_told(place: Place) -> None:
    place.rows({ATM: [3]}, MADE - timedelta(days=3))
    await place.give()
    assert "the file ends 3.0 days before the log's first bucket" in place.said


async def test_a_second_history_is_refused_but_for_again(place: Place) -> None:
    place.rows({ATM: [3, 4]}, MADE.replace(minute=5, second=0))
    await place.give()
    assert await place.refused() == ["this log has a history already; with --again the judge learns anew from this one"]
    await place.give(again=True)
    assert sum(value.startswith(END_MARK) for value in await place.values()) == 2


async def test_a_history_that_was_not_ended_is_none(place: Place) -> None:
    await place.log.append(COUNTS, 0, [NewRecord(encoded(MONDAY, 300, [ATM], np.ones((2, 1), np.int64))[0])])
    place.rows({ATM: [3, 4]}, MADE.replace(minute=5, second=0))
    await place.give()
    assert len(await place.values()) == 3


async def test_after_a_day_of_live_buckets_the_judge_takes_none(place: Place) -> None:
    place.rows({ATM: [3, 4]}, MADE.replace(minute=5, second=0))
    await place.judged(FIRST, "gap")  # nobody observed it: the judge's day begins with the next
    await place.judged(FIRST + timedelta(hours=2))
    late = FIRST - MADE + timedelta(hours=26)
    assert (await place.refused(after=late))[0].startswith(
        "this log's first observed bucket began at 2026-03-02 02:08 UTC, 24 h ago by its clock: the judge takes a"
        " history within 24 h of it"
    )
    assert (await place.refused(after=late, again=True))[0].startswith("this log's first observed bucket")
    await place.give(after=late - timedelta(minutes=1))


async def test_a_log_that_has_observed_nothing_takes_one_however_old_it_is(place: Place) -> None:
    place.rows({ATM: [3, 4]}, MADE.replace(minute=5, second=0))
    await place.judged(FIRST, "gap")
    await place.give(after=timedelta(days=30))


async def test_in_data_mode_time_is_the_log_s(tmp_path: Path) -> None:
    place = await Place(tmp_path, clock="data").made()
    place.rows({ATM: [3, 4, 5]}, MADE.replace(minute=10, second=0))
    await place.give()
    assert "this log's time has not begun: what is replayed must come after 2026-03-02 00:10 UTC" in place.said
    await place.judged(FIRST)
    await place.give(again=True, after=timedelta(days=300))
    assert any("5 contacts from 2026-03-02 00:05 UTC on are left out" in line for line in place.said)
    await place.judged(FIRST + timedelta(hours=24))
    assert "24 h ago by its clock" in (await place.refused())[0]


async def test_segments_that_no_contact_can_have_are_refused(place: Place) -> None:
    rows = {("Spain", "atm"): [1], ("ES", "Cash machines"): [1], ("unknown", "unknown"): [1]}
    place.rows(rows, MADE.replace(minute=5, second=0))  # type: ignore[arg-type]
    assert await place.refused() == [
        f"{place.file}: no contact of this log can have the country Spain (schemas/json/contact.json)",
        f"{place.file}: no contact of this log can have the topic Cash machines (schemas/json/contact.json)",
    ]


def test_values_of_other_dimensions_are_those_of_contacts() -> None:
    dimensions = ("channel", "complaint", "attributes.region")
    assert value_faults(dimensions, [("phone", "true", "North West"), ("chat", "false", "x")]) == []
    wrong = value_faults(dimensions, [("telex", "maybe", "x" * 65)])
    assert [fault.partition("have the ")[2].split()[0] for fault in wrong] == list(dimensions)
    many = value_faults(("country",), [(f"X{place}",) for place in range(8)])
    assert "X0, X1, X2, X3, X4 and 3 more (" in many[0]


@pytest.mark.parametrize(
    ("option", "columns"),
    [
        (None, ("country", "topic")),
        ("land,thema", ("land", "thema")),
        ("topic,country", ("country", "topic")),
        ("topic=thema,country=land", ("land", "thema")),
        ("topic=thema", ("country", "thema")),
    ],
)
def test_columns_are_named_in_order_or_by_dimension(option: str | None, columns: tuple[str, ...]) -> None:
    assert columns_of(option, DIMENSIONS) == columns


@pytest.mark.parametrize(
    ("option", "faults"),
    [
        ("land", ["--segment land: this log's segments are by country,topic: name a column for each"]),
        ("", ["--segment : this log's segments are by country,topic: name a column for each"]),
        (
            "queue=q,topic=a,topic=b",
            [
                "--segment queue=q: queue is no dimension of this log (country,topic)",
                "--segment topic=b: topic is named twice",
            ],
        ),
    ],
)
def test_columns_that_are_not_the_log_s_are_refused(option: str, faults: list[str]) -> None:
    with pytest.raises(ConfigurationError) as fault:
        columns_of(option, DIMENSIONS)
    assert fault.value.faults == faults


async def test_a_file_s_columns_of_other_names(place: Place) -> None:
    place.rows({("atm", "ES"): [3]}, MADE.replace(minute=5, second=0), header="ts,thema,land,n")
    await place.give(segment="country=land,topic=thema")
    assert read(await place.values())[1:] == ([ATM], [[3]])


def test_records_are_small_and_cheap_to_keep_whatever_the_history() -> None:
    """20,000 segments with long names, and counts of 1 to 10 digits."""
    names = [("ES", f"a-topic-with-a-name-that-is-as-long-as-possible-{place:016}") for place in range(2000)]
    counts = np.random.default_rng(1).integers(0, 10 ** np.arange(10).repeat(200), (300, 2000))
    records = encoded(MONDAY, 300, names, counts)
    assert max(map(len, records)) <= 512 * 1024
    assert max(map(len, records)) > 300 * 1024  # and not needlessly many
    _, segments, read_counts = read(records)
    assert segments == names
    assert (np.array(read_counts) == np.minimum(counts, SMALL_MAX)).all()
    kept = sum(100 * (1 + columns.stop - columns.start) for _, columns in parts_of(names, counts))
    assert kept < counts.size


def test_more_than_the_judge_takes_is_refused_before_it_is_written() -> None:
    long_ago = counts_of({ATM: [1] + [0] * 160_000 + [1]})
    with pytest.raises(ConfigurationError, match="covers 555 days before the log: at most 520 are learnt"):
        past_of(long_ago, None)
    assert len(past_of(long_ago, MONDAY + 100 * 300).counts) == 100  # only what is before the log counts
    rows: dict[tuple[str, ...], Sequence[int]] = {("ES", f"t{place}"): [1] for place in range(5000)}
    rows[ATM] = [1] + [0] * 9998 + [1]
    wide = counts_of(rows)
    with pytest.raises(ConfigurationError, match=r"10,000 steps of 5 minutes of 5,001 segments are 50,010,000 counts"):
        past_of(wide, None)


class Judge:
    """Says how many steps it has learnt, one answer after another."""

    def __init__(self, *steps: int | None) -> None:
        self._steps = list(steps)

    def __call__(self) -> int | None:
        return self._steps.pop(0) if len(self._steps) > 1 else self._steps[0]


@pytest.mark.parametrize(
    ("judge", "before", "seconds", "said"),
    [
        (Judge(10, None, 10, 2026), 10, 5.0, "learnt: 2,016 steps, after "),
        (
            Judge(10),
            10,
            0.3,
            "not learnt after 0 s; it stands in the log, and the judge comes to it: the metric pegel_",
        ),
        (
            Judge(None),
            None,
            5.0,
            "the detector does not answer on this machine (PEGEL_DETECTOR_PORT), so this ends here",
        ),
    ],
)
async def test_it_waits_until_it_is_learnt(
    judge: Callable[[], int | None], before: int | None, seconds: float, said: str
) -> None:
    lines: list[str] = []
    await wait_until_learnt(judge, before, seconds, lines.append)
    assert lines[-1].startswith(said)
