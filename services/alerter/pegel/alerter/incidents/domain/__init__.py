"""The life of an incident, and when its owner is paged."""
