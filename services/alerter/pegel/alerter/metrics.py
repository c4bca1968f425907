"""The alerter's metrics. No label takes a team's, a segment's or a contact's value."""

from typing import Final

from prometheus_client import Counter, Gauge

from pegel.runtime.metrics import REGISTRY

BUCKETS: Final = Counter("pegel_alerter_buckets", "Bucket records applied", ["consumer"], registry=REGISTRY)
LAG_RECORDS: Final = Gauge(
    "pegel_alerter_lag_records", "Records of windows that are not applied yet", ["consumer"], registry=REGISTRY
)
LAG_SECONDS: Final = Gauge(
    "pegel_alerter_lag_seconds",
    "Age of the newest record of windows applied while there are newer ones, else 0",
    ["consumer"],
    registry=REGISTRY,
)
IN_CHARGE: Final = Gauge(
    "pegel_alerter_in_charge", "Whether this process applies the windows: 1 yes, 0 no", ["consumer"], registry=REGISTRY
)
QUARANTINED: Final = Counter(
    "pegel_alerter_quarantined", "Records of windows passed over: they can't be read", ["consumer"], registry=REGISTRY
)
INCIDENTS_OPEN: Final = Gauge(
    "pegel_alerter_incidents_open", "Incidents that are not resolved", ["state"], registry=REGISTRY
)
TRANSITIONS: Final = Counter("pegel_alerter_transitions", "Changes of state", ["to_state"], registry=REGISTRY)
PAGES: Final = Counter(
    "pegel_alerter_pages", "Attempts to page, by how they went", ["receiver", "outcome"], registry=REGISTRY
)
PAGES_WITHHELD: Final = Counter(
    "pegel_alerter_pages_withheld", "Incidents that paged nobody, by reason", ["reason"], registry=REGISTRY
)
OUTBOX_PAGES: Final = Gauge(
    "pegel_alerter_outbox_pages", "Pages that wait to be sent or repeated", ["receiver"], registry=REGISTRY
)
OUTBOX_COUNTS: Final = Gauge(
    "pegel_alerter_outbox_counts", "Records for the stream counts that wait to be sent", registry=REGISTRY
)
PROMISED: Final = Gauge(
    "pegel_false_pages_per_week_promised", "False pages a week that were promised, in all", registry=REGISTRY
)
SEEN: Final = Gauge(
    "pegel_false_pages_per_week_seen",
    "False pages a week in the last four, judged on the pages answered; NaN while none was",
    registry=REGISTRY,
)
ANSWERED: Final = Gauge(
    "pegel_pages_answered_share",
    "Share of the last four weeks' pages that were answered; NaN without a page",
    registry=REGISTRY,
)
LEDGER_ENTRIES: Final = Counter("pegel_alerter_ledger_entries", "Ledger entries booked", ["status"], registry=REGISTRY)
UNPRICED_CONTACTS: Final = Counter(
    "pegel_alerter_unpriced_contacts", "Contacts booked without a price", registry=REGISTRY
)
