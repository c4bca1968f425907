"""How much of the long runs: FAULTS=full (all, the default on demand) or FAULTS=reduced (what CI has time for)."""

import os
from typing import Final, TypeVar

import pytest

T = TypeVar("T")
FULL: Final = os.environ.get("FAULTS", "full") != "reduced"
MARKS: Final = (pytest.mark.server, pytest.mark.kafka, pytest.mark.postgres, pytest.mark.faults)


def often(full: T, reduced: T) -> T:
    """A number, or a choice, for this run."""
    return full if FULL else reduced
