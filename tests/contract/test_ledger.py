"""The ledger's port: in memory, on SQLite and on PostgreSQL it books alike."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from pegel.alerter.database import Database, check_schema, migrate
from pegel.alerter.ledger.adapters.memory import MemoryLedger
from pegel.alerter.ledger.adapters.sql import SqlLedger
from pegel.alerter.ledger.domain.seals import day_of
from pegel.alerter.ledger.domain.sums import Sums, charge_digest
from pegel.alerter.ledger.ports import CostSum, Cut, Ledger, LedgerConflict
from pegel.schemas.detection import BucketRecord
from support.charges import charge
from support.databases import BOTH, database_url
from support.windows import START, Windows

Opened = Callable[[], AbstractContextManager[Ledger]]
"""A transaction with the ledger in it: committed at the end of the block, rolled back when it raises."""


@pytest.fixture(params=["memory", *BOTH])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opened]:
    if request.param == "memory":
        kept = MemoryLedger()

        @contextmanager
        def memory() -> Iterator[Ledger]:
            yield kept

        yield memory
        return
    url = database_url(request, request.param, tmp_path)
    migrate(url)
    database = Database(url)
    check_schema(database)

    @contextmanager
    def sql() -> Iterator[Ledger]:
        with database.write() as connection:
            yield SqlLedger(connection)

    yield sql
    database.close()


def cut(offset: int = 7) -> Cut:
    records = Windows().bucket()
    end = records[-1]
    assert isinstance(end, BucketRecord)
    return Cut(offset, end)


def day(opened: Opened) -> Sequence[CostSum]:
    with opened() as book:
        return book.sums(START - timedelta(hours=12), START + timedelta(hours=12))


def test_an_entry_is_kept_as_it_was_booked(ledger: Opened) -> None:
    entry = charge()
    with ledger() as book:
        assert book.book([entry], cut()) == 1
    with ledger() as book:
        assert book.entry(entry.id) == entry
        assert book.entry("judge/0:999.0#0") is None


def test_the_cut_is_that_of_the_last_booking(ledger: Opened) -> None:
    with ledger() as book:
        assert book.cut() is None
        book.book([], cut(3))
        book.book([], cut(9))
    with ledger() as book:
        assert book.cut() == cut(9)


def test_booking_the_same_again_changes_nothing(ledger: Opened) -> None:
    entries = [charge(n) for n in range(3)]
    with ledger() as book:
        book.book(entries, cut())
    with ledger() as book:
        assert book.book([*entries, charge(3), charge(3)], cut()) == 1
    assert [(row.contacts, row.amount_micros) for row in day(ledger)] == [(8, 60_000_000)]


def test_an_id_with_another_content_is_refused_and_nothing_is_booked(ledger: Opened) -> None:
    with ledger() as book:
        book.book([charge(0)], cut())
    with pytest.raises(LedgerConflict, match=r"judge/0:1\.0#0"), ledger() as book:
        book.book([charge(1), charge(0, quantity=3)], cut())
    assert [(row.contacts, row.amount_micros) for row in day(ledger)] == [(2, 15_000_000)]


def test_a_running_sum_is_kept_of_what_is_new(ledger: Opened) -> None:
    with ledger() as book:
        assert book.totals() == Sums()
        book.book([charge(0), charge(1, quantity=-1)], cut(3))
    with ledger() as book:
        book.book([charge(1, quantity=-1), charge(2)], cut(9))
    entries = [charge(0), charge(2), charge(1, quantity=-1)]  # in whatever order
    expected = Sums().plus((its.quantity, its.currency, its.amount_micros, charge_digest(its)) for its in entries)
    with ledger() as book:
        assert book.totals() == expected
        assert (expected.contacts, expected.micros) == (3, {"EUR": 22_500_000})


def test_seals_are_a_chain(ledger: Opened) -> None:
    with ledger() as book:
        assert book.seal() is None
        record = cut().record
        seen = {"judge/0": [3, 7, 1]}
        book.book([charge(0)], Cut(7, record, seen))
        first = book.seal()
    next_day = record.model_copy(
        update={"as_of": record.as_of + timedelta(days=1), "to": record.to + 1440, "windows_contacts": 9}
    )
    with ledger() as book:
        book.book([charge(1)], Cut(8, next_day, seen))
        second = book.seal()
    assert first is not None
    assert second is not None
    assert (first.day, first.bucket_to, first.windows_next_offset) == ("2026-03-02", record.to, 8)
    assert (first.ledger.contacts, first.producers, first.previous) == (2, seen, "")
    assert (second.day, second.windows_contacts, second.ledger.contacts) == ("2026-03-03", 9, 4)
    assert second.previous == first.sha256 != second.sha256
    assert [partition["offset"] for partition in first.covered] == [part.offset for part in record.covered]


@pytest.mark.parametrize("what", ["bucket_to", "windows_contacts", "day", "previous", "covered", "producers", "ledger"])
def test_a_seal_shows_that_it_was_changed(what: str) -> None:
    book = MemoryLedger()
    book.book([charge(0)], Cut(7, cut().record, {"judge/0": [3, 7, 1]}))
    seal = book.seal()
    assert seal is not None
    others: dict[str, object] = {
        "bucket_to": seal.bucket_to + 1,
        "windows_contacts": seal.windows_contacts + 1,
        "day": "2026-03-01",
        "previous": "0",
        "covered": [],
        "producers": {},
        "ledger": replace(seal.ledger, digest=seal.ledger.digest + 1),
    }
    assert replace(seal, **{what: others[what]}).sha256 != seal.sha256  # type: ignore[arg-type]


def test_a_bucket_that_ends_at_midnight_lies_in_the_day_that_ends() -> None:
    windows = Windows(start=START.replace(hour=23, minute=59))
    days = [day_of(record) for _ in range(2) for record in windows.bucket() if isinstance(record, BucketRecord)]
    assert days == ["2026-03-02", "2026-03-03"]


@pytest.mark.parametrize(
    "changed",
    [
        {"team": "other"}, {"quantity": 3}, {"amount_micros": 1}, {"segment": ("PT", "atm")}, {"currency": "USD"},
        {"at": START + timedelta(hours=1)}, {"cell": {"country": "ES"}}, {"status": "free"}, {"credit": "service:x"},
    ],
)  # fmt: skip
def test_the_digest_shows_every_change_of_an_entry(changed: dict[str, object]) -> None:
    assert charge_digest(charge()._replace(**changed)) != charge_digest(charge())  # type: ignore[arg-type]


def test_sums_are_by_team_and_topic_dearest_first(ledger: Opened) -> None:
    with ledger() as book:
        book.book(
            [
                charge(0, quantity=1),
                charge(1, quantity=3, segment=("PT", "atm")),
                charge(2, quantity=9, segment=("ES", "login"), team="digital-identity", price=1_000_000),
                charge(3, quantity=5, segment=("ES", "moon"), team="unattributed", price=0, status="unpriced"),
                charge(4, quantity=-1),  # taken back by an amendment
            ],
            cut(),
        )
    assert day(ledger) == [
        CostSum("cash-withdrawals", "atm", 3, 0, 22_500_000),
        CostSum("digital-identity", "login", 9, 0, 9_000_000),
        CostSum("unattributed", "moon", 5, 5, 0),
    ]


def test_sums_have_the_first_hour_and_not_the_last(ledger: Opened) -> None:
    # 09:00 ------ 10:00 ------ 11:00
    #   x 59' x      x
    with ledger() as book:
        book.book([charge(minutes=0), charge(minutes=59), charge(minutes=60)], cut())
    hour = timedelta(hours=1)
    with ledger() as book:
        assert [row.contacts for row in book.sums(START, START + hour)] == [4]
        assert [row.contacts for row in book.sums(START + hour, START + 2 * hour)] == [2]
        assert list(book.sums(START - hour, START)) == []


def test_what_a_segment_cost_between_two_buckets(ledger: Opened) -> None:
    first, third, end = (START + timedelta(minutes=minutes) for minutes in (1, 3, 9))
    with ledger() as book:
        book.book(
            [charge(minutes=minute) for minute in range(4)] + [charge(9, minutes=1, segment=("PT", "atm"))], cut()
        )
    with ledger() as book:
        assert book.amount_micros(("ES", "atm"), first, third) == 30_000_000
        assert book.amount_micros(("PT", "atm"), START, end) == 15_000_000
        assert book.amount_micros(("*", "atm"), first, third) == 45_000_000
        assert book.amount_micros(("ES", "*"), first, third) == 30_000_000
        assert book.amount_micros(("DE", "atm"), START, end) == 0


def test_large_amounts_are_exact(ledger: Opened) -> None:
    big = charge(quantity=1_000_001, price=999_999_999_999)
    with ledger() as book:
        book.book([big, charge(1, quantity=1, price=1)], cut())
    assert day(ledger)[0].amount_micros == 1_000_001 * 999_999_999_999 + 1


@pytest.mark.parametrize("kind", BOTH)
def test_what_fails_leaves_nothing_in_the_database(request: pytest.FixtureRequest, tmp_path: Path, kind: str) -> None:
    url = database_url(request, kind, tmp_path)
    migrate(url)
    database = Database(url)

    def booked_in_vain() -> None:
        with database.write() as connection:
            SqlLedger(connection).book([charge()], cut())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        booked_in_vain()
    with database.read() as connection:
        counts = [
            connection.execute(text(f"SELECT count(*) FROM {name}")).scalar()  # noqa: S608
            for name in ("ledger_entries", "cost_hours", "ledger_cut")
        ]
    database.close()
    assert counts == [0, 0, 0]


def test_times_come_back_aware(ledger: Opened) -> None:
    with ledger() as book:
        book.book([charge()], cut())
        found = book.entry(charge().id)
    assert found is not None
    assert found.at == datetime(2026, 3, 2, 9, tzinfo=UTC)
    assert found.at.utcoffset() == timedelta(0)
