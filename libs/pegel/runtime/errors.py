"""Errors whose text is for a person: shown as one line, without a traceback."""


class OperationalError(Exception):
    """Something outside is not as it must be (a broker, a disk, a database); the text names it and what can be done."""
