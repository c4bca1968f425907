"""What counter and judge write: counts, windows, spikes, bucket records; and what else the stream counts carries."""

from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, Field, StringConstraints

from pegel.schemas.base import Identifier, LogRecord, Model, Origin, Slug

Cell = dict[str, str]
"""The counted fields of a contact that were said (counter.domain.cells): {"country": "ES", "topic": "atm", ...}."""

Count = Annotated[int, Field(ge=0)]
Segment = tuple[str, ...]
"""Values of the segment dimensions, in their order: ("ES", "atm"). In a roll-up a dimension left out is '*'."""

UNKNOWN: Final = "unknown"
"""The value of a dimension that a contact does not say."""

Uuid = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]


class Additions(Model):
    """What was added to (positive) or taken from (negative) cells. Columns of equal length; `cells`: their dictionary.

    bucket: its number since 1970 (it starts at bucket x bucket_seconds). contacts, handled_seconds: sums.
    """

    cells: tuple[Cell, ...] = ()
    bucket: tuple[int, ...] = ()
    cell: tuple[Count, ...] = ()
    contacts: tuple[int, ...] = ()
    handled_seconds: tuple[int, ...] = ()


CUSTOMERS_MAX: Final = 1_000
"""Hashes that a record of counts carries of a segment's bucket, at most."""
HASH_BYTES: Final = 8


class Customers(Model):
    """Who contacted, to tell many customers from one who calls 29 times. Columns of equal length.

    A row is a segment's bucket. contacts: those that carry a customer's pseudonym. hashes: 64 bits of each of these
    customers, in base64, sorted: at most CUSTOMERS_MAX, the smallest; fewer than `contacts` where somebody came again.
    Of contacts as they were first counted: an amendment moves no hash, a void takes none back.
    """

    bucket: tuple[int, ...]
    segment: tuple[Segment, ...]
    contacts: tuple[Count, ...]
    hashes: tuple[Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]+=*$")], ...]


class PartitionTotals(Model):
    """Running sums of one partition since the log was made, of all records before the origin's offset.

    contacts = copies + voided + open + counted; conflicts are copies that said something else; counted is the sum of
    all contacts in counts records.
    """

    contacts: Count = 0
    copies: Count = 0
    conflicts: Count = 0
    voided: Count = 0
    open: Count = 0
    counted: int = 0


class CountsRecord(LogRecord):
    """Stream counts: one partition closed the buckets [closed_from, closed_to), in numbers since 1970.

    Buckets in [gap_from, gap_to) were closed too late to have been observed (wall mode) or were skipped by a tick
    that moved more than a day (data mode). additions: for the buckets closed, and for earlier ones (late contacts,
    amendments). customers: of the same contacts; None where none carries a pseudonym.
    A large one is split: `last` is false for all parts but the last, and only the last closes.
    """

    kind: Literal["counts"] = "counts"
    origin: Origin
    closed_from: int
    closed_to: int
    gap_from: int
    gap_to: int
    last: bool = True
    additions: Additions
    totals: PartitionTotals
    customers: Customers | None = None


class HistoryRecord(LogRecord):
    """Stream counts: past counts to learn from, before the log's first bucket. counts[i][j]: segment i, step j."""

    kind: Literal["history"] = "history"
    id: Uuid
    part: Count
    start: AwareDatetime
    step_seconds: Annotated[int, Field(gt=0)]
    segments: tuple[Segment, ...]
    counts: tuple[tuple[Count, ...], ...]


class HistoryEndRecord(LogRecord):
    """Stream counts: the history `id` is complete with this many parts; the judge learns it now."""

    kind: Literal["history_end"] = "history_end"
    id: Uuid
    parts: Count


ModelName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.]{0,127}$", max_length=128)]
"""`pegel`, or the dotted name of an estimator of river's kind."""


class PromotionRecord(LogRecord):
    """Stream counts: from this bucket on (its number since 1970) the model pages, and the one before is a challenger.

    A bucket that was judged already is taken as the next that will be. A repeated id changes nothing; of several for
    one bucket the last holds. A model that does not run as a challenger then is refused.
    """

    kind: Literal["promotion"] = "promotion"
    id: Uuid
    model: ModelName
    bucket: Count


class CalendarRecord(LogRecord):
    """Stream counts: an event that is known beforehand: a campaign, planned maintenance.

    id: a repeated one is dropped. line: a glob a dimension ('*': all). It holds in the buckets of [since, until); where
    `since` lies in a bucket that is judged, from the next. Either factor (what is expected is multiplied with it), or
    paging, false: no spike opens there. What comes meanwhile is not learnt.
    """

    kind: Literal["calendar"] = "calendar"
    id: Uuid
    name: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    line: Segment
    since: AwareDatetime
    until: AwareDatetime
    factor: Annotated[float, Field(gt=0, le=1000)] | None = None
    paging: Literal[False] | None = None


class CalendarCancelRecord(LogRecord):
    """Stream counts: the event `cancels` holds no more, from the next bucket on. id: a repeated one is dropped."""

    kind: Literal["calendar_cancel"] = "calendar_cancel"
    id: Uuid
    cancels: Uuid


class FeedbackRecord(LogRecord):
    """Stream counts: what a team says of what it was paged for. It is sent from the alerter's outbox.

    id: a repeated one is dropped. segment: the line, '*' where a dimension is left out; bucket: from which it holds;
    one that is judged already holds from the next. verdict `real`: it is counted, and changes nothing; `not_useful`
    raises the line's bar (pegel.schemas.feedback); `new_normal`: what was seen there since `since` is what is expected
    from now on; `undo`: what `undoes` said holds no longer. given_by: a team, never a person.
    """

    kind: Literal["feedback"] = "feedback"
    id: Uuid
    verdict: Literal["real", "not_useful", "new_normal", "undo"]
    bucket: Count
    segment: Segment | None = None
    spike_id: Annotated[str, StringConstraints(max_length=256)] | None = None
    since: AwareDatetime | None = None
    undoes: Uuid | None = None
    given_by: Slug


WindowStatus = Literal["observed", "late", "gap", "early"]


class WindowRecord(LogRecord):
    """Stream windows: what was added to one bucket, by segment, and how the judge saw it. Columns of equal length.

    bucket: its number since 1970; start: its beginning. status `observed`: on close, with expected count, band (lower,
    upper) and score of each segment; `late`, `gap` (nobody observed it), `early` (before the log's first whole bucket):
    counted and charged, not judged. score: -log10 of the false pages a week that the whole installation would have if
    what is as unusual as this paged: 0 is one a week. baseline_source: own, or borrowed from the topic elsewhere while
    too little was learnt; baseline_days: how much was.
    additions.bucket is `bucket` in each row; segment_of[k]: index in `segments` of the additions' row k.
    A large one is split into several with the same bucket: by segments, and by additions, where the further records
    have the segments of their additions again, with observed 0 (it was told) and without scores.
    """

    kind: Literal["window"] = "window"
    origin: Origin
    bucket: int
    start: AwareDatetime
    status: WindowStatus
    model: str
    segments: tuple[Segment, ...]
    observed: tuple[int, ...]
    expected: tuple[float, ...] = ()
    lower: tuple[float, ...] = ()
    upper: tuple[float, ...] = ()
    score: tuple[float, ...] = ()
    baseline_source: tuple[Literal["own", "borrowed"], ...] | None = None
    baseline_days: tuple[Count, ...] | None = None
    additions: Additions
    segment_of: tuple[Count, ...] = ()


class RollupRecord(LogRecord):
    """Stream windows: the roll-ups of a bucket, after its windows. Columns of equal length; segments have '*' where a

    dimension is left out. A large one is split into several with the same bucket.
    """

    kind: Literal["rollup"] = "rollup"
    origin: Origin
    bucket: int
    start: AwareDatetime
    model: str
    segments: tuple[Segment, ...]
    observed: tuple[int, ...]
    expected: tuple[float, ...]
    score: tuple[float, ...]


class ChallengerRecord(LogRecord):
    """Stream windows: how a model that does not page saw a bucket. Columns of equal length; a roll-up has '*'.

    They stand after the bucket record (behind all that the same record of counts caused), so that no id of what pages
    or is charged depends on which challengers run. score: as a window's; lines without an opinion are left out. A
    model that is asked every 5 minutes has a record for the last bucket of them. A large one is split into several.
    """

    kind: Literal["challenger"] = "challenger"
    origin: Origin
    bucket: int
    start: AwareDatetime
    model: str
    segments: tuple[Segment, ...]
    score: tuple[float, ...]


SpikeState = Literal["opened", "updated", "resolved"]


Trend = Literal["growing", "steady", "falling"]


class Carried(Model):
    """A value of a dimension, and its share of the excess; the shares of a dimension add up to 1."""

    dimension: Annotated[str, StringConstraints(max_length=64)]
    value: Annotated[str, StringConstraints(max_length=64)]
    share: Annotated[float, Field(ge=0, le=1)]


class SpikeRecord(LogRecord):
    """Stream windows: a spike opens, grows, or is over. spike_id: segment and bucket of opening.

    observed, expected: contacts in the most telling window (window_seconds long, ending at `at`); excess_since_onset:
    observed minus expected from onset to `at`. lower, upper: 95 % of what is usual in that window. rarity_weeks: once
    in how many weeks chance brings this to this line, never more than three times the history. trend: the last 15
    minutes against the 15 before. carried_by: values of the dimensions left out, and subtopics, channels and handlers.
    customers: distinct ones in that window; customers_at_least: there may be more, for not every contact says its own,
    or not all were kept. better_described_by: the roll-up that says more, of which this is a part. events: names of
    those in the calendar that hold there. bar_raised: so many powers of ten rarer than promised it must be to page,
    since teams said that such pages are of no use. explanation, explanation_de: one or two sentences made from these
    fields.
    """

    kind: Literal["spike"] = "spike"
    origin: Origin
    spike_id: Annotated[str, StringConstraints(max_length=256)]
    state: SpikeState
    segment: Segment
    at: AwareDatetime
    onset: AwareDatetime
    opened_at: AwareDatetime
    window_seconds: Annotated[int, Field(gt=0)]
    observed: Count
    expected: Annotated[float, Field(ge=0)]
    observed_since_onset: Count
    expected_since_onset: Annotated[float, Field(ge=0)]
    score: float
    lower: Annotated[float, Field(ge=0)] | None = None
    upper: Annotated[float, Field(ge=0)] | None = None
    rarity_weeks: Annotated[float, Field(ge=0)] | None = None
    trend: Trend | None = None
    carried_by: tuple[Carried, ...] | None = None
    customers: Annotated[int, Field(ge=1)] | None = None
    customers_at_least: Literal[True] | None = None
    better_described_by: Segment | None = None
    events: tuple[str, ...] | None = None
    bar_raised: Annotated[float, Field(ge=0)] | None = None
    model: str
    explanation: str
    explanation_de: str | None = None


class Covered(Model):
    """How far into the contacts of a partition a bucket record reaches: all records before `offset`."""

    partition: Count
    offset: Count
    totals: PartitionTotals


class BucketRecord(LogRecord):
    """Stream windows: all that is to be said of the buckets [bucket, to) has been said; to > bucket + 1 only for gaps.

    covered: contacts at lower offsets with a bucket below `to` are in windows, and no others. incomplete: partitions
    left out. windows_contacts: running sum of all additions in windows up to here. as_of: end of the last bucket.
    """

    kind: Literal["bucket"] = "bucket"
    origin: Origin
    bucket: int
    to: int
    as_of: AwareDatetime
    status: Literal["observed", "gap", "early"]
    incomplete: tuple[Count, ...] = ()
    covered: tuple[Covered, ...]
    windows_contacts: int
    segments: Count
    segments_refused: Count = Field(
        default=0, description="contacts' segments beyond max_segments, counted under other"
    )


class ClaimRecord(LogRecord):
    """Who may write for a partition from here on. On state its offset is the epoch; on output streams it is named."""

    kind: Literal["claim"] = "claim"
    producer: Annotated[str, StringConstraints(pattern=r"^[a-z]+/[0-9]+$", max_length=32)]
    owner: Identifier
    epoch: Count | None = None
    previous_manifest: Count | None = None


class ChunkPlace(Model):
    """A part of a snapshot: the record of state that holds it as raw bytes, and what they must be."""

    offset: Count
    size_bytes: Count
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class OutputMark(Model):
    """How far a producer's outputs in a stream reach: what stands from next_offset on is above (offset, place)."""

    next_offset: Count
    offset: int
    place: int


class ManifestRecord(LogRecord):
    """Stream state: the snapshot whose chunks stand before it is whole.

    position: the next record of the input. version: of the state's form and of what computes with it. outputs: by
    stream. previous_manifest: the newest whole one before this. A manifest that stands after a newer claim is void.
    """

    kind: Literal["manifest"] = "manifest"
    producer: Annotated[str, StringConstraints(pattern=r"^[a-z]+/[0-9]+$", max_length=32)]
    epoch: Count
    log_id: Uuid
    version: Annotated[str, StringConstraints(max_length=128)]
    position: Count
    chunks: tuple[ChunkPlace, ...]
    outputs: dict[str, OutputMark]
    previous_manifest: Count | None = None


class MetaRecord(LogRecord):
    """Stream meta, first record: what was chosen when the log was made and can't change. Later ones are void."""

    kind: Literal["meta"] = "meta"
    log_id: Uuid
    clock: Literal["wall", "data"]
    bucket_seconds: Annotated[int, Field(gt=0)]
    delay_seconds: Annotated[int, Field(ge=0)]
    partitions: Annotated[int, Field(gt=0)]
    dimensions: tuple[str, ...]


class LossRecord(LogRecord):
    """Stream meta: what is gone of a partition, all below `before`, is accepted as lost (`pegel log accept-loss`).

    A reader that had not read it all goes on behind it; without this it stops. accepted_by: a team or a duty.
    """

    kind: Literal["loss"] = "loss"
    id: Uuid
    stream: Literal["contacts", "rejected", "counts", "windows", "linked"]
    partition: Count
    before: Annotated[int, Field(gt=0)]
    reason: Annotated[str, StringConstraints(min_length=1, max_length=500)]
    accepted_by: Identifier | None = None
