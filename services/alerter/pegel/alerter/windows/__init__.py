"""Reads the stream windows for the alerter's parts: whole buckets, once, from a position in the database."""
