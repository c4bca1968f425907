"""The detector's metrics, in one place. promtool takes no name with "counter" in it: the counter's say counting."""

from prometheus_client import Counter, Gauge

from pegel.runtime.metrics import REGISTRY

CONTACTS_READ = Counter("pegel_counting_contacts_read", "Contacts read from the log", registry=REGISTRY)
COPIES = Counter("pegel_counting_copies", "Contacts dropped as copies", registry=REGISTRY)
REFUSED = Counter(
    "pegel_counting_records_refused", "Records of contacts written to rejected", ["reason"], registry=REGISTRY
)
BUCKETS_JUDGED = Counter(
    "pegel_judge_buckets_judged", "Bucket records written, by what they say", ["status"], registry=REGISTRY
)
SEGMENTS = Gauge("pegel_judge_segments", "Segments kept apart", registry=REGISTRY)
SEGMENTS_REFUSED = Gauge(
    "pegel_judge_segments_refused", "Segments beyond PEGEL_MAX_SEGMENTS, counted under topic other", registry=REGISTRY
)
SPIKES_UP = Gauge("pegel_judge_spikes_up", "Spikes that are up", registry=REGISTRY)
SPIKES_WITHHELD = Gauge(
    "pegel_judge_spikes_withheld",
    "Lines that stood out within the hour by one or two customers alone: no spike",
    registry=REGISTRY,
)
SPIKES = Counter("pegel_judge_spikes_opened", "Spikes opened", registry=REGISTRY)
BARS_RAISED = Gauge(
    "pegel_judge_bars_raised",
    "Lines that must be rarer than promised to page, by how many powers of ten: their pages were not useful",
    ["powers_of_ten"],
    registry=REGISTRY,
)
HISTORY_STEPS = Gauge("pegel_judge_history_steps", "Intervals learnt from a history", registry=REGISTRY)
MODEL = Gauge("pegel_judge_model", "1 for the model that pages, by name and version", ["model"], registry=REGISTRY)
PROMOTIONS_REFUSED = Counter(
    "pegel_judge_promotions_refused", "Promotions of a model that does not run here", registry=REGISTRY
)
CHALLENGER_SPIKES = Counter(
    "pegel_judge_challenger_spikes", "Spikes that a challenger would have opened", ["model"], registry=REGISTRY
)
