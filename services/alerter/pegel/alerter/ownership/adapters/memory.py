"""Owner rules in memory, for tests: a plain walk through the rules, nothing remembered."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from pegel.alerter.ownership.domain import UNATTRIBUTED, OwnerRule, Team
from pegel.alerter.ownership.ports import OwnerRules


class MemoryOwnerRules(OwnerRules):
    """version can be set: whoever changes `rules` sets another."""

    def __init__(
        self,
        dimensions: Sequence[str],
        rules: Sequence[OwnerRule] = (),
        teams: Sequence[Team] = (),
        names: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self.dimensions, self.rules, self.teams, self.names = dimensions, list(rules), list(teams), names or {}
        self.stated_version = "memory"

    @property
    def version(self) -> str:
        return self.stated_version

    def team_of(self, segment: tuple[str, ...], at: datetime) -> str:
        named = dict(zip(self.dimensions, segment, strict=True))
        for rule in self.rules:
            if rule.covers(at) and rule.matches(named):
                return rule.team
        return UNATTRIBUTED

    def team(self, team_id: str) -> Team:
        for team in self.teams:
            if team.id == team_id:
                return team
        return Team(team_id, team_id, "")

    def display(self, dimension: str, value: str) -> str:
        return self.names.get(dimension, {}).get(value, value)
