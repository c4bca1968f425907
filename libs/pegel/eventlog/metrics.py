"""Metrics of the loops that read the log's partitions. part: counting or judging."""

from prometheus_client import Counter, Gauge

from pegel.runtime.metrics import REGISTRY

SNAPSHOTS = Counter("pegel_snapshots_saved", "Snapshots saved whole", ["part"], registry=REGISTRY)
SNAPSHOTS_FAILED = Counter(
    "pegel_snapshots_failed", "Snapshots that could not be saved; counting goes on", ["part"], registry=REGISTRY
)
SNAPSHOTS_CORRUPT = Counter(
    "pegel_snapshots_corrupt",
    "Snapshots that could not be restored, so that an older one was",
    ["part"],
    registry=REGISTRY,
)
SNAPSHOT_TIME = Gauge(
    "pegel_snapshot_timestamp_seconds",
    "When the last snapshot of a partition was saved",
    ["part", "partition"],
    registry=REGISTRY,
)
SNAPSHOT_BYTES = Gauge("pegel_snapshot_bytes", "Size of the last snapshot", ["part", "partition"], registry=REGISTRY)
SNAPSHOT_SECONDS = Gauge(
    "pegel_snapshot_duration_seconds", "How long the last snapshot took", ["part", "partition"], registry=REGISTRY
)
RESTORE_SECONDS = Gauge(
    "pegel_restore_duration_seconds",
    "How long the last restore of a partition took",
    ["part", "partition"],
    registry=REGISTRY,
)
LAG = Gauge("pegel_reader_lag_records", "Records of the input not taken yet", ["part", "partition"], registry=REGISTRY)
TAKEOVERS = Counter("pegel_partitions_taken", "Partitions claimed", ["part"], registry=REGISTRY)
CONTESTED = Counter(
    "pegel_partitions_contested",
    "Partitions that another claimed while they were assigned here",
    ["part"],
    registry=REGISTRY,
)

PARTITIONS = Gauge(
    "pegel_partitions_owned", "Partitions that this process works on; 0 for a standby", ["part"], registry=REGISTRY
)
