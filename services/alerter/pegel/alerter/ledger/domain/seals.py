"""Seals: what was booked at the end of each day, in a chain of hashes. Where the log has expired, the audit counts on.

A seal's hash is over all it says and over the hash before it, so one can't be changed without changing all after it.
The hashes have no key: keep the newest elsewhere (every audit shows it), and a chain that was made anew is told by it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import orjson

from pegel.alerter.ledger.domain.sums import Sums
from pegel.schemas.detection import BucketRecord


@dataclass(frozen=True, slots=True)
class Seal:
    """What was booked up to a bucket record, the last of its day (UTC).

    bucket_to, as_of: end of that bucket. windows_next_offset: one past its record. windows_contacts: the running sum
    that the record tells. producers: what had been seen of each producer of windows (epoch, offset, place).
    covered: of each partition of contacts, as the record tells it. previous: the hash before; '' for the first seal.
    """

    day: str
    bucket_to: int
    as_of: datetime
    windows_next_offset: int
    windows_contacts: int
    producers: Mapping[str, Sequence[int]]
    covered: Sequence[Mapping[str, Any]]
    ledger: Sums
    previous: str

    @property
    def sha256(self) -> str:
        """Over all of it."""
        content = {
            "day": self.day,
            "bucket_to": self.bucket_to,
            "as_of": self.as_of.astimezone(UTC).isoformat(),
            "windows_next_offset": self.windows_next_offset,
            "windows_contacts": self.windows_contacts,
            "producers": {name: list(seen) for name, seen in self.producers.items()},
            "covered": [dict(partition) for partition in self.covered],
            "ledger_contacts": self.ledger.contacts,
            "ledger_micros": dict(self.ledger.micros),
            "ledger_digest": self.ledger.digest_text,
            "previous": self.previous,
        }
        return sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()


def seal_of(
    record: BucketRecord, offset: int, producers: Mapping[str, Sequence[int]], ledger: Sums, previous: str
) -> Seal:
    """Of what is booked up to a bucket record that stands at `offset` in windows."""
    return Seal(
        day_of(record),
        record.to,
        record.as_of,
        offset + 1,
        record.windows_contacts,
        producers,
        [partition.model_dump() for partition in record.covered],
        ledger,
        previous,
    )


def day_of(record: BucketRecord) -> str:
    """The day (UTC) in which the record's last bucket lies: one that ends at midnight lies in the day that ends."""
    return (record.as_of - timedelta(microseconds=1)).astimezone(UTC).date().isoformat()
