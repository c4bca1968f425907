"""The embedded log, in SQLite files."""

from pegel.eventlog.sqlite.log import SqliteLog

__all__ = ["SqliteLog"]
