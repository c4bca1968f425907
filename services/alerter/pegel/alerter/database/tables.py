"""All tables. Amounts are integers of a millionth of the currency; a segment is the JSON array of its values."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)

from pegel.alerter.database.types import Utc

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite numbers rows by itself only for a column of type INTEGER.
Sequence = BigInteger().with_variant(Integer, "sqlite")

positions = Table(
    "positions",
    metadata,
    Column("consumer", String(32), primary_key=True),
    Column("log_id", String(36), nullable=False),
    Column("next_offset", BigInteger, nullable=False, comment="first record of windows that is not applied"),
    Column("producers", JSON, nullable=False, comment="per producer: highest epoch and highest id (offset, place)"),
    Column("bucket_to", BigInteger, comment="end of the last bucket applied, as a number since 1970"),
    Column("as_of", Utc, comment="end of the last bucket applied"),
    Column(
        "catching_up",
        Boolean,
        nullable=False,
        server_default=false(),
        comment="far behind the log's end: pages are withheld until it is reached",
    ),
    comment="how far each reader of the stream windows has come; moved by compare-and-set with the effect",
)

incidents = Table(
    "incidents",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("segment", Text, nullable=False),
    Column("team", String(64), nullable=False),
    Column("ownership_version", String(64), nullable=False),
    Column("onset", Utc, nullable=False),
    Column("opened_at", Utc, nullable=False),
    Column("updated_at", Utc, nullable=False),
    Column("resolved_at", Utc),
    Column("page", Text, nullable=False, comment="why its owner was paged, or why not"),
    Index(None, "opened_at"),
    Index(None, "segment", "opened_at"),
    Index(None, "state"),
)

incident_dimensions = Table(
    "incident_dimensions",
    metadata,
    Column("incident_id", ForeignKey("incidents.id"), primary_key=True),
    Column("dimension", String(80), primary_key=True),
    Column("value", String(80), nullable=False),
    Index(None, "dimension", "value"),
)

spikes = Table(
    "spikes",
    metadata,
    Column("id", String(256), primary_key=True),
    Column("incident_id", ForeignKey("incidents.id"), nullable=False),
    Column("state", String(16), nullable=False),
    Column("at", Utc, nullable=False),
    Column("onset", Utc, nullable=False),
    Column("opened_at", Utc, nullable=False),
    Column("window_seconds", Integer, nullable=False),
    Column("observed", BigInteger, nullable=False),
    Column("expected", Double, nullable=False),
    Column("observed_since_onset", BigInteger, nullable=False),
    Column("expected_since_onset", Double, nullable=False),
    Column("score", Double, nullable=False),
    Column("model", String(128), nullable=False),
    Column("explanation", Text, nullable=False),
    Column("origin", String(128), nullable=False, comment="the last record of windows behind these numbers"),
    Index(None, "incident_id"),
)

transitions = Table(
    "transitions",
    metadata,
    Column("id", Sequence, primary_key=True, autoincrement=True),
    Column("incident_id", ForeignKey("incidents.id"), nullable=False),
    Column("at", Utc, nullable=False),
    Column("from_state", String(16)),
    Column("to_state", String(16), nullable=False),
    Column("actor", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Index(None, "incident_id"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Sequence, primary_key=True, autoincrement=True),
    Column("page_id", String(128), nullable=False, comment="the same at each retry"),
    Column("receiver", String(32), nullable=False),
    Column("incident_id", ForeignKey("incidents.id"), nullable=False),
    Column("payload", JSON, nullable=False),
    Column("state", String(16), nullable=False, comment="pending, sent, refused, gave_up, withheld"),
    Column("written_at", Utc, nullable=False),
    Column("due_at", Utc, nullable=False, comment="not tried before; while it is being sent: when another may try"),
    Column("attempts", Integer, nullable=False),
    Column("said", Text, comment="what the receiver said last"),
    Column("sent_at", Utc),
    UniqueConstraint("page_id", "receiver"),
    Index(None, "state", "receiver", "id"),
    Index(None, "incident_id"),
    comment="pages, written in the transaction of what they tell",
)

feedback = Table(
    "feedback",
    metadata,
    Column("id", String(36), primary_key=True, comment="of the record on counts"),
    Column("incident_id", ForeignKey("incidents.id"), nullable=False),
    Column("page_id", String(128), comment="of the page that is answered; none: nobody was paged"),
    Column("spike_id", String(256), nullable=False),
    Column("segment", Text, nullable=False),
    Column("verdict", String(16), nullable=False, comment="real, not_useful, new_normal"),
    Column("given_by", String(64), nullable=False, comment="a team"),
    Column("given_at", Utc, nullable=False),
    Column("holds_from", Utc, nullable=False, comment="beginning of the bucket from which it holds"),
    Column("undone_at", Utc, comment="beginning of the bucket from which it holds no more"),
    Column("undo_id", String(36), comment="of the record on counts that takes it back"),
    Index(None, "incident_id"),
    Index(None, "page_id"),
    Index(None, "given_at"),
    comment="what teams say of their pages",
)

counts_outbox = Table(
    "counts_outbox",
    metadata,
    Column("id", Sequence, primary_key=True, autoincrement=True),
    Column("record_id", String(36), nullable=False, comment="the judge drops a repeated one"),
    Column("record", Text, nullable=False, comment="as it goes to the stream counts"),
    Column("written_at", Utc, nullable=False),
    Column("sent_at", Utc, comment="the log has it"),
    UniqueConstraint("record_id"),
    Index(None, "sent_at", "id"),
    comment="records for the stream counts, written in the transaction of what they tell; sent in order",
)

ledger_entries = Table(
    "ledger_entries",
    metadata,
    Column("id", String(96), primary_key=True, comment="idempotency key: origin of the window record # addition"),
    Column("origin", String(96), nullable=False, comment="the window record behind it"),
    Column("at", Utc, nullable=False, comment="beginning of the bucket"),
    Column("bucket", BigInteger, nullable=False),
    Column("segment", Text, nullable=False),
    Column("cell", Text, nullable=False),
    Column("team", String(64), nullable=False),
    Column("topic", String(64), nullable=False),
    Column("debit", String(96), nullable=False),
    Column("credit", String(96), nullable=False),
    Column("quantity", BigInteger, nullable=False),
    Column("unit_price_micros", BigInteger, nullable=False),
    Column("amount_micros", BigInteger, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("status", String(16), nullable=False),
    Column("price_version", String(64), nullable=False),
    Column("ownership_version", String(64), nullable=False),
    Index(None, "segment", "at"),
    comment="immutable; a correction is a new entry",
)

cost_hours = Table(
    "cost_hours",
    metadata,
    Column("hour", BigInteger, primary_key=True, comment="number since 1970 of the hour that the bucket begins in"),
    Column("segment", Text, primary_key=True),
    Column("team", String(64), primary_key=True),
    Column("topic", String(64), primary_key=True),
    Column("contacts", BigInteger, nullable=False),
    Column("unpriced_contacts", BigInteger, nullable=False),
    Column("amount_micros", BigInteger, nullable=False),
    comment="sums of ledger_entries, written with them",
)

ledger_cut = Table(
    "ledger_cut",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False, comment="1: there is one row"),
    Column("record_offset", BigInteger, nullable=False, comment="where the bucket record stands in windows"),
    Column("record", Text, nullable=False, comment="the last bucket record booked, as on the log"),
    Column("producers", JSON, nullable=False, server_default="{}", comment="as in positions, up to this record"),
    Column("contacts", BigInteger, nullable=False, server_default="0", comment="sum of all quantities booked"),
    Column("micros", JSON, nullable=False, server_default="{}", comment="sum of all amounts booked, by currency"),
    Column(
        "digest",
        String(32),
        nullable=False,
        server_default="0" * 32,
        comment="sum of the entries' digests, modulo 2^128",
    ),
)

seals = Table(
    "seals",
    metadata,
    Column("day", String(10), primary_key=True, comment="the last whole day (UTC) that it covers"),
    Column("bucket_to", BigInteger, nullable=False, comment="end of the last bucket sealed, as a number since 1970"),
    Column("as_of", Utc, nullable=False, comment="end of the last bucket sealed"),
    Column("windows_next_offset", BigInteger, nullable=False, comment="first record of windows that is not sealed"),
    Column(
        "windows_contacts", BigInteger, nullable=False, comment="sum of all additions in windows, as the judge said"
    ),
    Column("producers", JSON, nullable=False, comment="as in positions, up to here"),
    Column("covered", JSON, nullable=False, comment="per partition of contacts: first offset not covered, totals"),
    Column("ledger_contacts", BigInteger, nullable=False, comment="sum of all quantities booked"),
    Column("ledger_micros", JSON, nullable=False, comment="sum of all amounts booked, by currency"),
    Column("ledger_digest", String(32), nullable=False, comment="sum of the entries' digests, modulo 2^128"),
    Column("previous", String(64), nullable=False, comment="sha256 of the seal before; empty for the first"),
    Column("sha256", String(64), nullable=False, comment="over all of the above"),
    comment="what was booked at the end of each day; a chain: one can't be changed without those after it",
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("consumer", String(32), primary_key=True),
    Column("stream", String(16), primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("record_offset", BigInteger, primary_key=True, autoincrement=False),
    Column("next_offset", BigInteger, nullable=False, comment="one past the last record passed over"),
    Column("kind", String(16), nullable=False, comment="unreadable, lost"),
    Column("reason", Text, nullable=False, comment="without content of the record"),
    Column("noted_at", Utc, nullable=False),
    comment="records that a reader passed over: it could not read them, or the log lost them and that was accepted",
)
