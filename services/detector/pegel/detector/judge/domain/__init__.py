"""Judging, pure: state and record in, outputs out. Reads no clock; tzdata is part of the model's version."""
