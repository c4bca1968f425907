"""Ingest: what a valid contact is. Takes contacts over HTTP, answers when the log has them; stores nothing."""
