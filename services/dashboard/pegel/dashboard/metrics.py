"""The dashboard's own metrics."""

from prometheus_client import Counter, Histogram

from pegel.runtime.metrics import REGISTRY

ALERTER_SECONDS = Histogram(
    "pegel_dashboard_alerter_request_seconds",
    "Time the alerter took to answer the dashboard",
    ["answer"],
    buckets=(0.005, 0.02, 0.1, 0.5, 1, 2, 5),
    registry=REGISTRY,
)
CHART_SECONDS = Histogram(
    "pegel_dashboard_chart_seconds",
    "Time to draw a chart that was not drawn yet",
    buckets=(0.5, 1, 2, 4, 8, 16),
    registry=REGISTRY,
)
CHART_FAILURES = Counter("pegel_dashboard_chart_failures", "Charts that could not be drawn", registry=REGISTRY)
CHANGES = Counter(
    "pegel_dashboard_changes", "Acknowledge and resolve clicks passed on, by outcome", ["outcome"], registry=REGISTRY
)
