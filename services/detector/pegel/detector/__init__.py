"""The detector: the counter counts contacts, the judge judges counts."""
