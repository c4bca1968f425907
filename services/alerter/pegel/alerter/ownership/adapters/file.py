"""Owner rules from ownership.yaml. Its format is explained in the example that comes with Pegel."""

from collections.abc import Sequence
from datetime import datetime
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, StrictInt, StrictStr

from pegel.alerter.ownership.domain import BEGINNING, END, UNATTRIBUTED, Floor, OwnerRule, OwnerTable, Team
from pegel.alerter.ownership.ports import OwnerRules
from pegel.alerter.settings import FileModel, Globs, Moment, read, unknown_keys
from pegel.runtime.settings import ConfigurationError
from pegel.schemas.base import Slug, micros

FLOOR_CONTACTS_MAX = 1_000_000
FLOOR_MONEY_MAX = 1_000_000
"""Of the currency."""


def _amount(value: str) -> str:
    micros(value, FLOOR_MONEY_MAX)
    return value


class FloorEntry(FileModel):
    """`floor` of a team; money is in the currency of the prices."""

    contacts: StrictInt = Field(default=0, ge=0, le=FLOOR_CONTACTS_MAX)
    money: Annotated[StrictStr, AfterValidator(_amount)] = "0"


class TeamEntry(FileModel):
    """One of `teams`."""

    name: str = Field(min_length=1, max_length=100)
    cost_centre: str = Field(min_length=1, max_length=64)
    floor: FloorEntry = FloorEntry()

    def team(self, team_id: str) -> Team:
        floor = Floor(self.floor.contacts, micros(self.floor.money, FLOOR_MONEY_MAX))
        return Team(team_id, self.name, self.cost_centre, floor)


class RuleEntry(FileModel):
    """One of `rules`."""

    match: dict[str, Globs] = Field(default_factory=dict)
    team: Slug
    since: Moment = BEGINNING
    until: Moment = END


class OwnershipFile(FileModel):
    """The whole file."""

    teams: dict[Slug, TeamEntry]
    rules: tuple[RuleEntry, ...] = ()
    names: dict[str, dict[str, str]] = Field(default_factory=dict)


class FileOwnerRules(OwnerRules):
    """The rules of a file, read once. Raises ConfigurationError with all that is wrong with it."""

    def __init__(self, path: Path | Traversable, dimensions: Sequence[str]) -> None:
        content, self._version = read(path, OwnershipFile)
        faults = []
        for number, rule in enumerate(content.rules):
            where = f"rules[{number}]"
            if rule.team not in content.teams and rule.team != UNATTRIBUTED:
                faults.append(f"{where}.team: {rule.team} is none of the teams")
            if rule.until <= rule.since:
                faults.append(f"{where}.until: is not after since")
            faults += unknown_keys(rule.match, set(dimensions), f"{where}.match")
        if faults:
            raise ConfigurationError([f"{path}: {fault}" for fault in faults])
        self._teams = {id_: entry.team(id_) for id_, entry in content.teams.items()}
        rules = [OwnerRule(rule.match, rule.team, rule.since, rule.until) for rule in content.rules]
        self._table = OwnerTable(rules, dimensions)
        self._names = content.names

    @property
    def version(self) -> str:
        return self._version

    def team_of(self, segment: tuple[str, ...], at: datetime) -> str:
        return self._table.team(segment, at)

    def team(self, team_id: str) -> Team:
        return self._teams.get(team_id) or Team(team_id, team_id, "")

    def display(self, dimension: str, value: str) -> str:
        return self._names.get(dimension, {}).get(value, value)
