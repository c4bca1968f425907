"""Where the sources differ: every difference in a line that says where it lies. Pure."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pegel.alerter.ledger.domain.seals import Seal
from pegel.cli.audit.books import Books, sums_of, unlike
from pegel.cli.audit.recount import Recount, Totals
from pegel.cli.audit.stream import Windows
from pegel.eventlog.port import WINDOWS
from pegel.schemas.detection import LossRecord


class Sources(NamedTuple):
    """What was read of the log, from the seal on where there is one."""

    contacts: Recount
    windows: Windows
    seal: Seal | None
    bucket_seconds: int


def differences(sources: Sources, books: Books, losses: Sequence[LossRecord]) -> list[str]:
    """All of them. Accepted losses are none, nor is what windows lack for them."""
    return [
        *_contacts_and_windows(sources),
        *_windows_and_ledger(sources, books),
        *_sealed(sources, books, losses),
        *_conservation(sources, books),
        *_passed_over(sources.windows, books),
        *books.faults,
    ]


def _contacts_and_windows(sources: Sources) -> Iterator[str]:
    contacts, windows = sources.contacts, sources.windows
    by_place = windows.by_place()
    for place in sorted(contacts.counted.keys() | by_place.keys()):
        accepted, stands = contacts.counted.get(place, 0), by_place.get(place, 0)
        if accepted != stands:
            yield f"{place.text(sources.bucket_seconds)}: {accepted} contacts accepted, {stands} in windows"
    sealed = sources.seal.windows_contacts if sources.seal else 0
    if sealed + windows.contacts != windows.told:
        yield (f"windows: the additions sum to {sealed + windows.contacts}, the last bucket record says {windows.told}")


def _windows_and_ledger(sources: Sources, books: Books) -> Iterator[str]:
    additions = sources.windows.additions
    for entry_id, addition in additions.items():
        booked = books.entries.get(entry_id)
        where = addition.place.text(sources.bucket_seconds)
        if booked is None:
            yield f"{where}: window addition {entry_id} of {addition.contacts} contacts is not in the ledger"
        elif booked.quantity != addition.contacts:
            yield f"{where}: ledger entry {entry_id} has {booked.quantity} contacts, its window {addition.contacts}"
    if sources.seal is None:
        for entry_id, entry in books.entries.items():
            if entry_id not in additions:
                yield f"ledger entry {entry_id} of {entry.quantity} contacts has no window addition behind it"


def _sealed(sources: Sources, books: Books, losses: Sequence[LossRecord]) -> Iterator[str]:
    """Entries that no window since the seal is behind are those that were sealed."""
    seal = sources.seal
    if seal is None:
        return
    older = {entry_id: entry for entry_id, entry in books.entries.items() if entry_id not in sources.windows.additions}
    yield from unlike("ledger entries before the seal", sums_of(older), f"the seal of {seal.day}", seal.ledger)
    lost = any(loss.stream == WINDOWS for loss in losses)
    if seal.windows_contacts != seal.ledger.contacts and not lost:
        yield f"seal of {seal.day}: {seal.windows_contacts} contacts in windows, {seal.ledger.contacts} in the ledger"


def _conservation(sources: Sources, books: Books) -> Iterator[str]:
    """Of each partition: contacts = copies + voided + open + counted, and the counter read what stands there."""
    if books.cut is None:
        return
    sealed = {part["partition"]: part["totals"] for part in sources.seal.covered} if sources.seal else {}
    for part in books.cut.covered:
        totals, where = part.totals, f"contacts/{part.partition} up to offset {part.offset}"
        parts = totals.copies + totals.voided + totals.open + totals.counted
        if totals.contacts != parts:
            yield (
                f"{where}: {totals.contacts} contacts, but {totals.copies} copies + {totals.voided} voided + "
                f"{totals.open} open + {totals.counted} counted are {parts}"
            )
        before = sealed.get(part.partition, {})
        told = Totals(*(getattr(totals, name) - before.get(name, 0) for name in Totals._fields))
        found = sources.contacts.totals.get(part.partition, Totals())
        for name, its, mine in zip(Totals._fields, told, found, strict=True):
            if its != mine:
                yield f"{where}: the counter says {its} {name}, the recount {mine}"


def _passed_over(windows: Windows, books: Books) -> Iterator[str]:
    for its in books.passed_over:
        if its.kind == "unreadable":
            yield f"{its.stream}/{its.partition}: {its.consumer} could not read the record at offset " + (
                f"{its.record_offset} and passed it over: {its.reason}"
            )
    known = {its.record_offset for its in books.passed_over}
    for offset, reason in windows.unreadable.items():
        if offset not in known:
            yield f"windows/0: the record at offset {offset} can't be read: {reason}"
