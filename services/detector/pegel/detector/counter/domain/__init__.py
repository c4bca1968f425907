"""Counting, pure: state and record in, outputs out. Reads no clock."""
