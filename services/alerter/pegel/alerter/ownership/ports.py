"""The port that other parts ask. tests/contract/test_owner_rules.py runs on all implementations."""

from datetime import datetime
from typing import Protocol

from pegel.alerter.ownership.domain import Team


class OwnerRules(Protocol):
    """Who owns a segment."""

    @property
    def version(self) -> str:
        """Changes whenever an answer may; at most 64 characters."""
        ...

    def team_of(self, segment: tuple[str, ...], at: datetime) -> str:
        """Id of the team that owns it at that time; 'unattributed' when no rule matches."""
        ...

    def team(self, team_id: str) -> Team:
        """Its name, cost centre and floor; one that is not known (any more) is called by its id, and has no floor."""
        ...

    def display(self, dimension: str, value: str) -> str:
        """What people call a dimension's value: 'Cash machines' for the topic atm."""
        ...
