"""Detectors by name: what is expected of each segment, and how unlikely what was seen is."""
