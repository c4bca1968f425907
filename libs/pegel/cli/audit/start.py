"""Where the audit counts from: the begin of the log, or, where records have expired, a daily seal."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from pegel.alerter.ledger.domain.seals import Seal
from pegel.cli.audit.recount import Cut
from pegel.eventlog.identity import Identity
from pegel.eventlog.port import CONTACTS, WINDOWS, Bounds, EventLog


class NoSealFits(Exception):  # noqa: N818
    """Records have expired, and no seal stands where the audit could go on from; the text says why."""


async def find_start(log: EventLog, identity: Identity, horizon_hours: float, seals: Sequence[Seal]) -> Seal | None:
    """The oldest seal from which all is still in the log, so that as much as can be is counted again; None: the begin.

    Before a seal a horizon of contacts must still be there, which tells copies from contacts; when identities are kept
    for ever (data mode), what is there must do. Raises NoSealFits.
    """
    contacts, windows = await log.bounds(CONTACTS), (await log.bounds(WINDOWS))[0]
    gone = [f"contacts/{partition}" for partition, bounds in contacts.items() if bounds.begin]
    gone += ["windows/0"] if windows.begin else []
    if not gone:
        return None
    kept_since = await _kept_since(log, contacts)
    why = "there is none"
    for seal in seals:
        fault = _fault(seal, contacts, windows, kept_since, identity, horizon_hours)
        if fault is None:
            return seal
        why = f"that of {seal.day} does not: {fault}"
    raise NoSealFits(f"records of {', '.join(gone)} have expired, and no daily seal fits to go on from; {why}")


def cut_of(seal: Seal) -> Cut:
    return Cut({part["partition"]: part["offset"] for part in seal.covered}, seal.bucket_to)


def _fault(
    seal: Seal,
    contacts: Mapping[int, Bounds],
    windows: Bounds,
    kept_since: dict[int, datetime],
    identity: Identity,
    horizon_hours: float,
) -> str | None:
    """Why the audit can't go on from a seal."""
    if seal.windows_next_offset < windows.begin:
        return f"it ends at offset {seal.windows_next_offset} of windows, which begins at {windows.begin}"
    covered = cut_of(seal).covered
    # An identity is remembered by the hour in which it came first.
    needed = seal.as_of - timedelta(hours=horizon_hours + 1)
    for partition, bounds in contacts.items():
        if bounds.begin == 0:
            continue
        if covered.get(partition, 0) < bounds.begin:
            return (
                f"it ends at offset {covered.get(partition, 0)} of contacts/{partition}, which begins at {bounds.begin}"
            )
        if identity.meta.clock == "wall" and kept_since[partition] > needed:
            return (
                f"contacts/{partition} is kept since {kept_since[partition]:%Y-%m-%d %H:%M}, but telling copies takes "
                f"contacts since {needed:%Y-%m-%d %H:%M} (PEGEL_DEDUP_HORIZON_HOURS={horizon_hours:g})"
            )
    return None


async def _kept_since(log: EventLog, contacts: Mapping[int, Bounds]) -> dict[int, datetime]:
    """When the first record that is kept was appended, of partitions whose first records have expired."""
    found = {}
    for partition, bounds in contacts.items():
        if bounds.begin == 0:
            continue
        found[partition] = datetime.max.replace(tzinfo=UTC)
        if bounds.begin < bounds.end:
            reader = log.reader(CONTACTS, {partition: bounds.begin})
            try:
                for record in (await reader.fetch(max_records=1, wait_seconds=5)).get(partition, ()):
                    found[partition] = datetime.fromtimestamp(record.time_ms / 1000, UTC)
            finally:
                await reader.close()
    return found
