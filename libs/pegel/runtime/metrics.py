"""Metrics every process has, and the registry all metrics live in. Names begin with pegel_, units stand in names.

A service declares its own in its `metrics` module. Labels are bounded: none takes a value from a contact.
"""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Info,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series a counter, which nothing reads
REGISTRY = CollectorRegistry()
ProcessCollector(namespace="pegel", registry=REGISTRY)

BUILD = Info("pegel_build", "Version of the running code", registry=REGISTRY)
DEPENDENCY_UP = Gauge(
    "pegel_dependency_up", "Whether a dependency answers: 1 yes, 0 no", ["dependency"], registry=REGISTRY
)
READY = Gauge("pegel_ready", "Whether the service is ready: 1 yes, 0 no", ["service"], registry=REGISTRY)
PROGRESS_SECONDS = Gauge(
    "pegel_progress_age_seconds", "Seconds since the service last made progress", ["service"], registry=REGISTRY
)
HTTP_REQUESTS = Counter(
    "pegel_http_requests", "HTTP requests answered", ["service", "method", "status_class"], registry=REGISTRY
)
PROBLEMS = Counter(
    "pegel_internal_errors", "Requests answered with 500 because of a defect", ["service"], registry=REGISTRY
)


def exposition() -> tuple[bytes, str]:
    """All metrics in Prometheus's text format, and its content type."""
    return generate_latest(REGISTRY), CONTENT_TYPE_LATEST
