"""Exactly once through long outages: catching up, the quarantine, running sums of the ledger, daily seals."""

from collections import defaultdict
from hashlib import blake2b
from typing import Any

import orjson
import sqlalchemy as sa
from alembic import op

from pegel.alerter.database.types import Utc

revision = "0002"
down_revision = "0001"

# The tables as they are at this revision.
ENTRY = (
    "id", "origin", "bucket", "team", "debit", "credit", "quantity", "unit_price_micros", "amount_micros", "currency",
    "status", "price_version", "ownership_version", "segment", "cell", "topic",
)  # fmt: skip
ledger_entries = sa.table("ledger_entries", sa.column("at", Utc()), *(sa.column(name) for name in ENTRY))
ledger_cut = sa.table(
    "ledger_cut",
    sa.column("id"),
    sa.column("producers", sa.JSON()),
    sa.column("contacts"),
    sa.column("micros", sa.JSON()),
    sa.column("digest"),
)
positions = sa.table("positions", sa.column("consumer"), sa.column("producers", sa.JSON()))


def upgrade() -> None:
    op.add_column(
        "positions",
        sa.Column(
            "catching_up",
            sa.Boolean(),
            nullable=False,
            server_default=sa.false(),
            comment="far behind the log's end: pages are withheld until it is reached",
        ),
    )
    op.create_index(op.f("ix_incidents_state"), "incidents", ["state"], unique=False)
    if op.get_context().dialect.name != "sqlite":  # SQLite keeps no comments
        op.alter_column(
            "outbox",
            "state",
            existing_type=sa.String(length=16),
            existing_nullable=False,
            comment="pending, sent, refused, gave_up, withheld",
        )
    for column in (
        sa.Column(
            "producers", sa.JSON(), nullable=False, server_default="{}", comment="as in positions, up to this record"
        ),
        sa.Column(
            "contacts", sa.BigInteger(), nullable=False, server_default="0", comment="sum of all quantities booked"
        ),
        sa.Column(
            "micros", sa.JSON(), nullable=False, server_default="{}", comment="sum of all amounts booked, by currency"
        ),
        sa.Column(
            "digest",
            sa.String(length=32),
            nullable=False,
            server_default="0" * 32,
            comment="sum of the entries' digests, modulo 2^128",
        ),
    ):
        op.add_column("ledger_cut", column)
    op.create_table(
        "seals",
        sa.Column("day", sa.String(length=10), nullable=False, comment="the last whole day (UTC) that it covers"),
        sa.Column(
            "bucket_to",
            sa.BigInteger(),
            nullable=False,
            comment="end of the last bucket sealed, as a number since 1970",
        ),
        sa.Column("as_of", Utc(), nullable=False, comment="end of the last bucket sealed"),
        sa.Column(
            "windows_next_offset",
            sa.BigInteger(),
            nullable=False,
            comment="first record of windows that is not sealed",
        ),
        sa.Column(
            "windows_contacts",
            sa.BigInteger(),
            nullable=False,
            comment="sum of all additions in windows, as the judge said",
        ),
        sa.Column("producers", sa.JSON(), nullable=False, comment="as in positions, up to here"),
        sa.Column(
            "covered", sa.JSON(), nullable=False, comment="per partition of contacts: first offset not covered, totals"
        ),
        sa.Column("ledger_contacts", sa.BigInteger(), nullable=False, comment="sum of all quantities booked"),
        sa.Column("ledger_micros", sa.JSON(), nullable=False, comment="sum of all amounts booked, by currency"),
        sa.Column(
            "ledger_digest",
            sa.String(length=32),
            nullable=False,
            comment="sum of the entries' digests, modulo 2^128",
        ),
        sa.Column(
            "previous", sa.String(length=64), nullable=False, comment="sha256 of the seal before; empty for the first"
        ),
        sa.Column("sha256", sa.String(length=64), nullable=False, comment="over all of the above"),
        sa.PrimaryKeyConstraint("day", name=op.f("pk_seals")),
        comment="what was booked at the end of each day; a chain: one can't be changed without those after it",
    )
    op.create_table(
        "quarantine",
        sa.Column("consumer", sa.String(length=32), nullable=False),
        sa.Column("stream", sa.String(length=16), nullable=False),
        sa.Column("partition", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("record_offset", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("next_offset", sa.BigInteger(), nullable=False, comment="one past the last record passed over"),
        sa.Column("kind", sa.String(length=16), nullable=False, comment="unreadable, lost"),
        sa.Column("reason", sa.Text(), nullable=False, comment="without content of the record"),
        sa.Column("noted_at", Utc(), nullable=False),
        sa.PrimaryKeyConstraint("consumer", "stream", "partition", "record_offset", name=op.f("pk_quarantine")),
        comment=(
            "records that a reader passed over: it could not read them, or the log lost them and that was accepted"
        ),
    )
    _sum_up()


def _sum_up() -> None:
    """What was booked before this revision, as the ledger keeps it from now on (ledger.domain.sums, as of then)."""
    connection = op.get_bind()
    if connection.execute(sa.select(ledger_cut.c.id)).first() is None:
        return
    micros: defaultdict[str, int] = defaultdict(int)
    contacts = digest = 0
    for row in connection.execute(sa.select(ledger_entries).execution_options(yield_per=5_000)):
        contacts += row.quantity
        micros[row.currency] += row.amount_micros
        digest += int.from_bytes(blake2b(_content(row), digest_size=16).digest())
    producers = connection.execute(sa.select(positions.c.producers).where(positions.c.consumer == "ledger")).scalar()
    connection.execute(
        sa.update(ledger_cut).values(
            producers=producers or {}, contacts=contacts, micros=dict(micros), digest=f"{digest % (1 << 128):032x}"
        )
    )


def _content(row: Any) -> bytes:
    names = ENTRY[:13]
    return orjson.dumps(
        (*(getattr(row, name) for name in names), int(row.at.timestamp()), row.segment, row.cell, row.topic)
    )
