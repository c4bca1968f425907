"""Pseudonyms: customer, account and case by a keyed hash, before the log sees them.

The hash is of the value alone, not of its source, so that a customer who writes and then calls is one; and it differs
by field, so that an account's number that is also a customer's tells nothing. Its key is that of a period, made of the
key in the file and the period's number: nothing links a customer over the end of a period, and when the file's key is
deleted nothing links them at all.

The period is that of occurred_at, not of the day on which ingest sees the contact: a contact that is sent again after
midnight would else come under another pseudonym than the first time, and ingests whose clocks differ would disagree.
"""

from collections.abc import Callable
from datetime import datetime
from hashlib import blake2b
from typing import Any, Final

FIELDS: Final = ("customer", "account", "case")
DAY_SECONDS: Final = 86_400
PERIODS_MAX: Final = 64
"""Periods whose keys are kept at hand: in wall mode two or three are in use, files of the past may have many."""
Pseudonymise = Callable[[dict[str, Any], datetime], None]
"""Replaces the pseudonym fields of a mapping in place, by the key of the period that a time falls into."""


def pseudonymiser(key: bytes, rotation_days: float) -> Pseudonymise:
    """Pseudonyms of 128 bits in hex. Periods of rotation_days are counted from 1970."""
    master = blake2b(key).digest()  # any length of key becomes what BLAKE2b takes
    period_seconds = rotation_days * DAY_SECONDS
    periods: dict[int, dict[str, blake2b]] = {}

    def hashers_of(when: datetime) -> dict[str, blake2b]:
        number = int(when.timestamp() // period_seconds)
        found = periods.get(number)
        if found is None:
            secret = blake2b(b"period %d" % number, key=master).digest()
            found = {name: blake2b(key=secret, digest_size=16, person=name.encode()) for name in FIELDS}
            if len(periods) >= PERIODS_MAX:
                periods.clear()
            periods[number] = found
        return found

    def replace(values: dict[str, Any], when: datetime) -> None:
        hashers = None
        for name in FIELDS:
            value = values.get(name)
            if value is not None:
                hashers = hashers or hashers_of(when)
                keyed = hashers[name].copy()
                keyed.update(value.encode())
                values[name] = keyed.hexdigest()

    return replace
