"""Answers in the database, and their way to the stream counts."""
