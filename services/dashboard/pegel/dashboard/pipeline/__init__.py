"""Asks the alerter and remembers what it said; has pictures drawn and keeps them."""
