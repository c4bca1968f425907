"""Feedback on pages, and an outbox for the stream counts."""

import sqlalchemy as sa
from alembic import op

from pegel.alerter.database.types import Utc

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "feedback",
        sa.Column("id", sa.String(length=36), nullable=False, comment="of the record on counts"),
        sa.Column("incident_id", sa.String(length=64), nullable=False),
        sa.Column(
            "page_id",
            sa.String(length=128),
            nullable=True,
            comment="of the page that is answered; none: nobody was paged",
        ),
        sa.Column("spike_id", sa.String(length=256), nullable=False),
        sa.Column("segment", sa.Text(), nullable=False),
        sa.Column("verdict", sa.String(length=16), nullable=False, comment="real, not_useful, new_normal"),
        sa.Column("given_by", sa.String(length=64), nullable=False, comment="a team"),
        sa.Column("given_at", Utc(), nullable=False),
        sa.Column("holds_from", Utc(), nullable=False, comment="beginning of the bucket from which it holds"),
        sa.Column("undone_at", Utc(), nullable=True, comment="beginning of the bucket from which it holds no more"),
        sa.Column("undo_id", sa.String(length=36), nullable=True, comment="of the record on counts that takes it back"),
        sa.ForeignKeyConstraint(["incident_id"], ["incidents.id"], name=op.f("fk_feedback_incident_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_feedback")),
        comment="what teams say of their pages",
    )
    for column in ("incident_id", "page_id", "given_at"):
        op.create_index(op.f(f"ix_feedback_{column}"), "feedback", [column], unique=False)
    op.create_table(
        "counts_outbox",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("record_id", sa.String(length=36), nullable=False, comment="the judge drops a repeated one"),
        sa.Column("record", sa.Text(), nullable=False, comment="as it goes to the stream counts"),
        sa.Column("written_at", Utc(), nullable=False),
        sa.Column("sent_at", Utc(), nullable=True, comment="the log has it"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_counts_outbox")),
        sa.UniqueConstraint("record_id", name=op.f("uq_counts_outbox_record_id")),
        comment="records for the stream counts, written in the transaction of what they tell; sent in order",
    )
    op.create_index(op.f("ix_counts_outbox_sent_at_id"), "counts_outbox", ["sent_at", "id"], unique=False)
