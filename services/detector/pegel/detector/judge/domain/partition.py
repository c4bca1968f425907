"""What the judge keeps of one partition: how far it has closed, and what is not judged yet."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from pegel.detector.judge.domain.lines import CountsLine, Row
from pegel.schemas.detection import Covered, PartitionTotals


@dataclass(slots=True)
class Partition:
    """first: the first bucket it closed. pending: rows of buckets that are not judged yet."""

    first: int | None = None
    closed_to: int | None = None
    gaps: list[tuple[int, int]] = field(default_factory=list)
    pending: dict[int, list[Row]] = field(default_factory=lambda: defaultdict(list))
    covered: Covered | None = None

    def gap(self, bucket: int) -> bool:
        return any(start <= bucket < end for start, end in self.gaps)

    def closed(self, line: CountsLine, first_judged: int | None) -> None:
        """Note what a counts record closed. first_judged: the log's first bucket, if it is known."""
        before = self.closed_to if self.closed_to is not None else first_judged
        if before is not None and line.closed_from > before:
            # What closed these was not read (it is kept no more, or was unreadable): we have not seen them.
            self.gaps.append((before, line.closed_from))
        if line.gap_from < line.gap_to:
            self.gaps.append((line.gap_from, line.gap_to))
        if self.first is None:
            self.first = line.closed_from
        self.closed_to = max(self.closed_to or 0, line.closed_to)
        origin = line.origin
        self.covered = Covered(partition=origin.partition, offset=origin.offset, totals=PartitionTotals(**line.totals))

    def judged_to(self, bucket: int) -> None:
        """Forget gaps that lie before this bucket."""
        self.gaps = [gap for gap in self.gaps if gap[1] > bucket]

    def state(self) -> dict[str, Any]:
        return {
            "first": self.first,
            "closed_to": self.closed_to,
            "gaps": list(self.gaps),
            "pending": [[bucket, list(rows)] for bucket, rows in self.pending.items()],
            "covered": None if self.covered is None else self.covered.model_dump(),
        }

    @classmethod
    def restored(cls, tree: Mapping[str, Any]) -> Self:
        partition = cls(
            first=tree["first"],
            closed_to=tree["closed_to"],
            gaps=[(start, end) for start, end in tree["gaps"]],
            covered=None if tree["covered"] is None else Covered(**tree["covered"]),
        )
        for bucket, rows in tree["pending"]:
            partition.pending[bucket] = [(cell, contacts, handled) for cell, contacts, handled in rows]
        return partition
