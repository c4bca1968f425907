"""What ingest measures. No label takes a value from a contact."""

from prometheus_client import Counter, Gauge, Histogram

from pegel.runtime.metrics import REGISTRY

ACCEPTED = Counter(
    "pegel_ingest_contacts_accepted", "Contacts that the log has acknowledged, copies included", registry=REGISTRY
)
REJECTED = Counter(
    "pegel_ingest_contacts_rejected", "Contacts refused, by what is wrong with them", ["reason"], registry=REGISTRY
)
AMENDMENTS_ACCEPTED = Counter(
    "pegel_ingest_amendments_accepted", "Amendments that the log has acknowledged, copies included", registry=REGISTRY
)
AMENDMENTS_REJECTED = Counter(
    "pegel_ingest_amendments_rejected", "Amendments refused, by what is wrong with them", ["reason"], registry=REGISTRY
)
TICKS = Counter(
    "pegel_ingest_ticks_appended", "Ticks that the log has acknowledged, over all partitions", registry=REGISTRY
)
APPEND_FAILURES = Counter(
    "pegel_ingest_append_failures", "Appends that the log did not acknowledge in time", ["stream"], registry=REGISTRY
)
REQUEST_SECONDS = Histogram(
    "pegel_ingest_request_seconds",
    "From the request's headers to its answer, of requests whose body was read",
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
    registry=REGISTRY,
)
BODIES_BYTES = Gauge("pegel_ingest_bodies_bytes", "Bodies of requests that are being worked on", registry=REGISTRY)
BODIES = Gauge("pegel_ingest_bodies", "Requests with a body that are being worked on", registry=REGISTRY)
TURNED_AWAY = Counter(
    "pegel_ingest_turned_away", "Requests answered by 429, since too much was being worked on", registry=REGISTRY
)
REJECTED_LOOKED_AT = Counter(
    "pegel_ingest_rejected_looked_at", "Records of the stream rejected read to answer its senders", registry=REGISTRY
)
