"""Receivers: the terminal, a webhook, and one in memory."""
