"""A build that counts and judges differently: what a zombie of it writes after others took over."""

import json
from collections.abc import Sequence

from pegel.eventlog.port import NewRecord, Record


def altered(standing: Sequence[Record], records: Sequence[NewRecord], name: str) -> list[NewRecord]:
    """The records as another build would write them, but only where a newer owner has claimed the stream before."""
    claimed: dict[str, int] = {}
    for record in standing:
        if b'"kind":"claim"' in record.value[:40]:
            claim = json.loads(record.value)
            claimed[claim["producer"]] = max(claimed.get(claim["producer"], -1), claim.get("epoch", -1))
    return [_altered(record, claimed) for record in records]


def _altered(record: NewRecord, claimed: dict[str, int]) -> NewRecord:
    try:
        value = json.loads(record.value)
    except ValueError:
        return record
    origin = value.get("origin")
    if not origin or origin["epoch"] >= claimed.get(origin["producer"], -1):
        return record
    additions = value.get("additions")
    if additions:
        additions["contacts"] = [contacts + 1000 for contacts in additions["contacts"]]
    if value["kind"] == "counts":
        value["closed_to"] += 1
    return record._replace(value=json.dumps(value, separators=(",", ":")).encode())
