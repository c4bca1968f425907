"""The first tables: positions, incidents, pages, the ledger."""

import sqlalchemy as sa
from alembic import op

from pegel.alerter.database.types import Utc

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "cost_hours",
        sa.Column(
            "hour", sa.BigInteger(), nullable=False, comment="number since 1970 of the hour that the bucket begins in"
        ),
        sa.Column("segment", sa.Text(), nullable=False),
        sa.Column("team", sa.String(length=64), nullable=False),
        sa.Column("topic", sa.String(length=64), nullable=False),
        sa.Column("contacts", sa.BigInteger(), nullable=False),
        sa.Column("unpriced_contacts", sa.BigInteger(), nullable=False),
        sa.Column("amount_micros", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hour", "segment", "team", "topic", name=op.f("pk_cost_hours")),
        comment="sums of ledger_entries, written with them",
    )
    op.create_table(
        "incidents",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("segment", sa.Text(), nullable=False),
        sa.Column("team", sa.String(length=64), nullable=False),
        sa.Column("ownership_version", sa.String(length=64), nullable=False),
        sa.Column("onset", Utc(), nullable=False),
        sa.Column("opened_at", Utc(), nullable=False),
        sa.Column("updated_at", Utc(), nullable=False),
        sa.Column("resolved_at", Utc(), nullable=True),
        sa.Column("page", sa.Text(), nullable=False, comment="why its owner was paged, or why not"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incidents")),
    )
    op.create_index(op.f("ix_incidents_opened_at"), "incidents", ["opened_at"], unique=False)
    op.create_index(op.f("ix_incidents_segment_opened_at"), "incidents", ["segment", "opened_at"], unique=False)
    op.create_table(
        "ledger_cut",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False, comment="1: there is one row"),
        sa.Column(
            "record_offset", sa.BigInteger(), nullable=False, comment="where the bucket record stands in windows"
        ),
        sa.Column("record", sa.Text(), nullable=False, comment="the last bucket record booked, as on the log"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_cut")),
    )
    op.create_table(
        "ledger_entries",
        sa.Column(
            "id",
            sa.String(length=96),
            nullable=False,
            comment="idempotency key: origin of the window record # addition",
        ),
        sa.Column("origin", sa.String(length=96), nullable=False, comment="the window record behind it"),
        sa.Column("at", Utc(), nullable=False, comment="beginning of the bucket"),
        sa.Column("bucket", sa.BigInteger(), nullable=False),
        sa.Column("segment", sa.Text(), nullable=False),
        sa.Column("cell", sa.Text(), nullable=False),
        sa.Column("team", sa.String(length=64), nullable=False),
        sa.Column("topic", sa.String(length=64), nullable=False),
        sa.Column("debit", sa.String(length=96), nullable=False),
        sa.Column("credit", sa.String(length=96), nullable=False),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.Column("unit_price_micros", sa.BigInteger(), nullable=False),
        sa.Column("amount_micros", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("price_version", sa.String(length=64), nullable=False),
        sa.Column("ownership_version", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ledger_entries")),
        comment="immutable; a correction is a new entry",
    )
    op.create_index(op.f("ix_ledger_entries_segment_at"), "ledger_entries", ["segment", "at"], unique=False)
    op.create_table(
        "positions",
        sa.Column("consumer", sa.String(length=32), nullable=False),
        sa.Column("log_id", sa.String(length=36), nullable=False),
        sa.Column(
            "next_offset", sa.BigInteger(), nullable=False, comment="first record of windows that is not applied"
        ),
        sa.Column(
            "producers", sa.JSON(), nullable=False, comment="per producer: highest epoch and highest id (offset, place)"
        ),
        sa.Column(
            "bucket_to",
            sa.BigInteger(),
            nullable=True,
            comment="end of the last bucket applied, as a number since 1970",
        ),
        sa.Column("as_of", Utc(), nullable=True, comment="end of the last bucket applied"),
        sa.PrimaryKeyConstraint("consumer", name=op.f("pk_positions")),
        comment="how far each reader of the stream windows has come; moved by compare-and-set with the effect",
    )
    op.create_table(
        "incident_dimensions",
        sa.Column("incident_id", sa.String(length=64), nullable=False),
        sa.Column("dimension", sa.String(length=80), nullable=False),
        sa.Column("value", sa.String(length=80), nullable=False),
        sa.ForeignKeyConstraint(["incident_id"], ["incidents.id"], name=op.f("fk_incident_dimensions_incident_id")),
        sa.PrimaryKeyConstraint("incident_id", "dimension", name=op.f("pk_incident_dimensions")),
    )
    op.create_index(
        op.f("ix_incident_dimensions_dimension_value"), "incident_dimensions", ["dimension", "value"], unique=False
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("page_id", sa.String(length=128), nullable=False, comment="the same at each retry"),
        sa.Column("receiver", sa.String(length=32), nullable=False),
        sa.Column("incident_id", sa.String(length=64), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False, comment="pending, sent, refused, gave_up"),
        sa.Column("written_at", Utc(), nullable=False),
        sa.Column(
            "due_at", Utc(), nullable=False, comment="not tried before; while it is being sent: when another may try"
        ),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("said", sa.Text(), nullable=True, comment="what the receiver said last"),
        sa.Column("sent_at", Utc(), nullable=True),
        sa.ForeignKeyConstraint(["incident_id"], ["incidents.id"], name=op.f("fk_outbox_incident_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        sa.UniqueConstraint("page_id", "receiver", name=op.f("uq_outbox_page_id_receiver")),
        comment="pages, written in the transaction of what they tell",
    )
    op.create_index(op.f("ix_outbox_incident_id"), "outbox", ["incident_id"], unique=False)
    op.create_index(op.f("ix_outbox_state_receiver_id"), "outbox", ["state", "receiver", "id"], unique=False)
    op.create_table(
        "spikes",
        sa.Column("id", sa.String(length=256), nullable=False),
        sa.Column("incident_id", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("at", Utc(), nullable=False),
        sa.Column("onset", Utc(), nullable=False),
        sa.Column("opened_at", Utc(), nullable=False),
        sa.Column("window_seconds", sa.Integer(), nullable=False),
        sa.Column("observed", sa.BigInteger(), nullable=False),
        sa.Column("expected", sa.Double(), nullable=False),
        sa.Column("observed_since_onset", sa.BigInteger(), nullable=False),
        sa.Column("expected_since_onset", sa.Double(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("model", sa.String(length=128), nullable=False),
        sa.Column("explanation", sa.Text(), nullable=False),
        sa.Column(
            "origin", sa.String(length=128), nullable=False, comment="the last record of windows behind these numbers"
        ),
        sa.ForeignKeyConstraint(["incident_id"], ["incidents.id"], name=op.f("fk_spikes_incident_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_spikes")),
    )
    op.create_index(op.f("ix_spikes_incident_id"), "spikes", ["incident_id"], unique=False)
    op.create_table(
        "transitions",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("incident_id", sa.String(length=64), nullable=False),
        sa.Column("at", Utc(), nullable=False),
        sa.Column("from_state", sa.String(length=16), nullable=True),
        sa.Column("to_state", sa.String(length=16), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["incident_id"], ["incidents.id"], name=op.f("fk_transitions_incident_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transitions")),
    )
    op.create_index(op.f("ix_transitions_incident_id"), "transitions", ["incident_id"], unique=False)
