"""What the judge writes to windows and rejected: records with their ids, in order, split where a bucket is large."""

from datetime import UTC, datetime
from typing import Any, Final, Literal, cast

import numpy as np

from pegel.detector.judge.domain.challengers import Opinion
from pegel.detector.judge.domain.explaining import Facts, explain, line_name, with_events
from pegel.detector.judge.domain.judgement import Floats, Ints, Judgement, Lines
from pegel.detector.judge.domain.lines import Row
from pegel.detector.judge.domain.reading import Unreadable
from pegel.detector.judge.domain.segments import Segments
from pegel.detector.judge.domain.spikes import Spike
from pegel.schemas.base import LogRecord, Origin
from pegel.schemas.detection import (
    Additions,
    BucketRecord,
    Carried,
    ChallengerRecord,
    Covered,
    RollupRecord,
    SpikeRecord,
    SpikeState,
    WindowRecord,
    WindowStatus,
)
from pegel.schemas.rejected import FieldError, RejectedRecord

PART_BYTES: Final = 200 * 1024
"""Of a record, for its segments and for its rows: together below the 512 KiB that a record of ours may have."""
SEGMENT_BYTES, ROW_BYTES = 100, 50
"""Numbers of a segment and of a row, beside their words."""
SCORE_MIN: Final = -9.0
"""What is written where there is no opinion, or none worth a name."""
VALUE_MAX: Final = 64
"""Characters of a value that carries an excess."""
ALWAYS: Final = 32
"""So few of either fit in any case: none is larger than 6 KiB."""


class Writer:
    """Collects the outputs of one input record after another. contacts: running sum of all additions written."""

    def __init__(self, epoch: int, bucket_seconds: int, segments: Segments) -> None:
        self._epoch, self._bucket_seconds, self._segments = epoch, bucket_seconds, segments
        self._outputs: list[LogRecord] = []
        self._offset = 0
        self._place = 0
        self.contacts = 0

    def begin(self, offset: int) -> None:
        """What follows is caused by the input record at this offset."""
        self._offset, self._place = offset, 0

    def take(self) -> list[LogRecord]:
        """What was written since the last call."""
        outputs, self._outputs = self._outputs, []
        return outputs

    def window(
        self,
        bucket: int,
        status: WindowStatus,
        rows: list[Row],
        numbers: list[int],
        model: str,
        observed: Ints | None = None,
        judgement: Judgement | None = None,
    ) -> None:
        """A bucket's additions by segment. With a judgement all segments stand in it, else those with rows.

        numbers[k]: segment of rows[k]. A record that would be too large is split: by segments, and by rows, where the
        further records carry rows only.
        """
        self.contacts += sum(row[1] for row in rows)
        present = list(range(len(observed))) if observed is not None else sorted(set(numbers))
        if judgement is None and not present:
            return
        some, few = self._segments_a_record(len(present)), rows_a_record(rows)
        for first in range(0, max(1, len(present)), some):
            part = present[first : first + some]
            within = set(part) if len(present) > some else None
            mine = [k for k, number in enumerate(numbers) if within is None or number in within]
            self._part(bucket, status, rows, numbers, model, part, mine[:few], mine, judgement)
            for more in range(few, len(mine), few):
                further = mine[more : more + few]
                named = sorted({numbers[k] for k in further})
                self._part(bucket, status, rows, numbers, model, named, further, (), None)

    def _part(
        self,
        bucket: int,
        status: WindowStatus,
        rows: list[Row],
        numbers: list[int],
        model: str,
        segments: list[int],
        carried: list[int],
        counted: "list[int] | tuple[()]",
        judgement: Judgement | None,
    ) -> None:
        """One record. carried: rows that stand in it; counted: rows that its `observed` tells."""
        place_of = {number: place for place, number in enumerate(segments)}
        sums = [0] * len(segments)
        for k in counted:
            sums[place_of[numbers[k]]] += rows[k][1]
        scored: dict[str, Any] = {}
        if judgement is not None:
            span = slice(segments[0], segments[-1] + 1) if segments else slice(0, 0)
            scored = {
                "expected": rounded(judgement.expected[span]),
                "lower": rounded(judgement.lower[span]),
                "upper": rounded(judgement.upper[span]),
                "score": rounded(np.maximum(judgement.score[span], SCORE_MIN)),
                "baseline_source": tuple("own" if own else "borrowed" for own in judgement.own[span].tolist()),
                "baseline_days": tuple(judgement.baseline_days[span].astype(np.int64).tolist()),
            }
        self._outputs.append(
            WindowRecord.model_construct(
                origin=self._origin(),
                bucket=bucket,
                start=self._at(bucket),
                status=status,
                model=model,
                segments=tuple(self._segments.names[number] for number in segments),
                observed=tuple(sums),
                additions=Additions.model_construct(
                    cells=tuple(rows[k][0] for k in carried),
                    bucket=(bucket,) * len(carried),
                    cell=tuple(range(len(carried))),
                    contacts=tuple(rows[k][1] for k in carried),
                    handled_seconds=tuple(rows[k][2] for k in carried),
                ),
                segment_of=tuple(place_of[numbers[k]] for k in carried),
                **scored,
            )
        )

    def rollups(self, bucket: int, model: str, lines: Lines) -> None:
        """The roll-ups' scores; a large number of them is split."""
        some = self._segments_a_record(len(lines.names))
        for first in range(0, len(lines.names), some):
            part = slice(first, first + some)
            self._outputs.append(
                RollupRecord.model_construct(
                    origin=self._origin(),
                    bucket=bucket,
                    start=self._at(bucket),
                    model=model,
                    segments=tuple(lines.names[part]),
                    observed=tuple(lines.observed[part].astype(np.int64).tolist()),
                    expected=rounded(lines.expected[part]),
                    score=rounded(np.maximum(lines.score[part], SCORE_MIN)),
                )
            )

    def challenger(self, opinion: Opinion) -> None:
        """Scores of a model that does not page; a large number of them is split."""
        some = self._segments_a_record(len(opinion.names))
        for first in range(0, len(opinion.names), some):
            part = slice(first, first + some)
            self._outputs.append(
                ChallengerRecord.model_construct(
                    origin=self._origin(),
                    bucket=opinion.bucket,
                    start=self._at(opinion.bucket),
                    model=opinion.model,
                    segments=tuple(opinion.names[part]),
                    score=rounded(opinion.score[part]),
                )
            )

    def spike(
        self,
        state: SpikeState,
        spike: Spike,
        facts: Facts,
        end: int,
        model: str,
        *,
        events: tuple[str, ...] = (),
        bar_raised: float | None = None,
    ) -> None:
        """A spike as it stands at `end` (seconds since 1970).

        events: names of those that hold there; bar_raised: that of its line, None where it is not.
        """
        english = explain(spike, line_name(spike.line), end=end, facts=facts)
        german = explain(spike, line_name(spike.line, "de"), end=end, facts=facts, language="de")
        self._outputs.append(
            SpikeRecord(
                origin=self._origin(),
                spike_id=spike.spike_id,
                state=state,
                segment=spike.line,
                at=datetime.fromtimestamp(end, UTC),
                onset=datetime.fromtimestamp(spike.onset, UTC),
                opened_at=datetime.fromtimestamp(spike.opened_at, UTC),
                window_seconds=spike.window_seconds,
                # Amendments take contacts out again, and sums of floats drift: neither makes a count negative.
                observed=max(0, spike.window_observed),
                expected=max(0.0, round(spike.window_expected, 4)),
                lower=round(facts.lower, 4),
                upper=round(facts.upper, 4),
                observed_since_onset=max(0, spike.observed),
                expected_since_onset=max(0.0, round(spike.expected, 4)),
                score=round(spike.score, 3),
                rarity_weeks=round(facts.rarity_weeks, 1),
                trend=facts.trend,
                carried_by=tuple(
                    Carried(dimension=one.dimension[:VALUE_MAX], value=one.value[:VALUE_MAX], share=one.share)
                    for one in facts.carriers
                ),
                customers=facts.customers,
                customers_at_least=True if facts.customers is not None and facts.at_least else None,
                better_described_by=facts.better,
                events=events or None,
                bar_raised=bar_raised,
                model=model,
                explanation=with_events(english, events),
                explanation_de=with_events(german, events, "de"),
            )
        )

    def bucket(
        self,
        bucket: int,
        to: int,
        status: Literal["observed", "gap"],
        incomplete: tuple[int, ...],
        covered: tuple[Covered, ...],
    ) -> None:
        """The cut: all that is to be said of [bucket, to) has been said."""
        self._outputs.append(
            BucketRecord.model_construct(
                origin=self._origin(),
                bucket=bucket,
                to=to,
                as_of=self._at(to),
                status=status,
                incomplete=incomplete,
                covered=covered,
                windows_contacts=self.contacts,
                segments=len(self._segments.names),
                segments_refused=self._segments.refused,
            )
        )

    def unreadable(self, fault: Unreadable) -> None:
        """The input record was not taken."""
        reason = str(fault).encode("utf-8", "replace").decode()
        self._outputs.append(
            RejectedRecord(
                reason="unreadable",
                what="record",
                errors=(FieldError(field=fault.field[:200], reason=reason[:300]),),
                partition=0,
                offset=self._offset,
                origin=self._origin(),
            )
        )

    def _segments_a_record(self, present: int) -> int:
        return (
            ALWAYS if present <= ALWAYS else max(ALWAYS, PART_BYTES // (SEGMENT_BYTES + self._segments.longest_bytes))
        )

    def _at(self, bucket: int) -> datetime:
        return datetime.fromtimestamp(bucket * self._bucket_seconds, UTC)

    def _origin(self) -> Origin:
        origin = Origin.model_construct(
            producer="judge/0", epoch=self._epoch, partition=0, offset=self._offset, place=self._place
        )
        self._place += 1
        return origin


def rows_a_record(rows: list[Row]) -> int:
    """How many of these rows a record may hold, whatever the words of their cells are."""
    if len(rows) <= ALWAYS:
        return ALWAYS
    return max(ALWAYS, PART_BYTES // (ROW_BYTES + max(words_bytes(cell) for cell, _, _ in rows)))


def words_bytes(words: dict[str, str]) -> int:
    """At most so many bytes have named words in JSON: each character escaped by a backslash, or four bytes of UTF-8."""
    values = "".join(words.values())
    if values.isascii():
        return len("".join(words)) + 6 * len(words) + 2 * len(values)
    return sum([len(name) + 6 + len(value) * (2 if value.isascii() else 4) for name, value in words.items()])


def rounded(values: Floats) -> tuple[float, ...]:
    """To four decimals: enough for a chart, and a third of the bytes."""
    return tuple(cast(list[float], np.round(values, 4).tolist()))
