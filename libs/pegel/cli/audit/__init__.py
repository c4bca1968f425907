"""`pegel audit`: three independent sources (contacts, windows, ledger) must say the same.

Conservation, up to the last bucket record that the ledger has booked: contacts accepted = in windows = in the ledger,
and every amount is quantity x price, exactly. Each difference is printed with where it lies. Where records of the log
have expired, all is counted again from a daily seal on, and what is older is taken from it.
"""

from pegel.cli.audit.app import audit

__all__ = ["audit"]
