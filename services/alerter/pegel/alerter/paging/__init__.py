"""Paging: takes pages from the outbox and gets them to their receivers."""
