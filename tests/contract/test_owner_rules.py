"""The port to owner rules: a file's and those in memory answer alike."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from pegel.alerter.ownership.adapters.file import FileOwnerRules
from pegel.alerter.ownership.adapters.memory import MemoryOwnerRules
from pegel.alerter.ownership.domain import BEGINNING, END, OwnerRule, Team
from pegel.alerter.ownership.ports import OwnerRules
from pegel.alerter.settings import source
from pegel.runtime.settings import ConfigurationError

DIMENSIONS = ("country", "topic")
TEAMS = [Team("cash", "Cash", "CC-1"), Team("iberia", "Iberia", "CC-2"), Team("rest", "Rest", "CC-3")]
NAMES = {"topic": {"atm": "Cash machines"}}
Make = Callable[[Sequence[OwnerRule]], OwnerRules]


def written(path: Path, rules: Sequence[OwnerRule], names: Mapping[str, Mapping[str, str]]) -> Path:
    """The rules as a file."""

    def entry(rule: OwnerRule) -> dict[str, object]:
        dates = {"since": rule.since, "until": rule.until}
        given = {name: at for name, at in dates.items() if at not in (BEGINNING, END)}
        return {"match": {name: list(globs) for name, globs in rule.match.items()}, "team": rule.team, **given}

    teams = {team.id: {"name": team.name, "cost_centre": team.cost_centre} for team in TEAMS}
    path.write_text(yaml.safe_dump({"teams": teams, "rules": [entry(rule) for rule in rules], "names": names}))
    return path


@pytest.fixture(params=["memory", "file"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    if request.param == "memory":
        return lambda rules: MemoryOwnerRules(DIMENSIONS, rules, TEAMS, NAMES)
    return lambda rules: FileOwnerRules(written(tmp_path / "ownership.yaml", rules, NAMES), DIMENSIONS)


def at(day: str) -> datetime:
    return datetime.fromisoformat(day).replace(tzinfo=UTC)


TODAY = at("2026-11-22")


def test_the_first_rule_that_matches_owns(make: Make) -> None:
    owners = make(
        [
            OwnerRule({"country": ("ES", "PT"), "topic": ("atm",)}, "iberia"),
            OwnerRule({"topic": ("atm",)}, "cash"),
            OwnerRule({}, "rest"),
        ]
    )
    assert owners.team_of(("ES", "atm"), TODAY) == "iberia"
    assert owners.team_of(("DE", "atm"), TODAY) == "cash"
    assert owners.team_of(("ES", "login"), TODAY) == "rest"


def test_what_no_rule_matches_is_unattributed(make: Make) -> None:
    assert make([OwnerRule({"topic": ("atm",)}, "cash")]).team_of(("ES", "login"), TODAY) == "unattributed"
    assert make([]).team_of(("ES", "login"), TODAY) == "unattributed"


def test_globs(make: Make) -> None:
    owners = make([OwnerRule({"topic": ("card*", "?tm")}, "cash")])
    assert [owners.team_of(("ES", topic), TODAY) for topic in ("cards", "card", "atm", "ATM", "matm")] == [
        "cash", "cash", "cash", "unattributed", "unattributed",
    ]  # fmt: skip


def test_a_roll_up_belongs_to_whom_all_of_it_belongs(make: Make) -> None:
    owners = make(
        [OwnerRule({"country": ("ES",), "topic": ("atm",)}, "iberia"), OwnerRule({"topic": ("atm",)}, "cash")]
    )
    assert owners.team_of(("*", "atm"), TODAY) == "cash"
    assert owners.team_of(("ES", "*"), TODAY) == "unattributed"


def test_a_hand_over_holds_from_its_day(make: Make) -> None:
    # cash until the end of March, iberia from April on; before 2026 nobody
    #   ... | 2026-01-01 ---- cash ---- | 2026-04-01 ---- iberia ...
    owners = make(
        [
            OwnerRule({"topic": ("atm",)}, "cash", at("2026-01-01"), at("2026-04-01")),
            OwnerRule({"topic": ("atm",)}, "iberia", at("2026-04-01")),
        ]
    )
    days = ("2025-12-31T23:59:59", "2026-01-01", "2026-03-31T23:59:59", "2026-04-01", "2030-01-01")
    asked = [owners.team_of(("ES", "atm"), at(day)) for day in days]
    assert asked == ["unattributed", "cash", "cash", "iberia", "iberia"]
    # asked again in another order: what is remembered is remembered for its dates
    assert [owners.team_of(("ES", "atm"), at(day)) for day in reversed(days)] == asked[::-1]


def test_teams_and_names(make: Make) -> None:
    owners = make([])
    assert owners.team("cash") == TEAMS[0]
    assert owners.team("gone").name == "gone"
    assert owners.display("topic", "atm") == "Cash machines"
    assert owners.display("topic", "moon") == "moon"
    assert owners.display("country", "ES") == "ES"
    assert 0 < len(owners.version) <= 64


def test_the_version_of_a_file_changes_with_its_content(tmp_path: Path) -> None:
    path = written(tmp_path / "ownership.yaml", [], {})
    before = FileOwnerRules(path, DIMENSIONS).version
    assert FileOwnerRules(path, DIMENSIONS).version == before
    written(path, [OwnerRule({}, "cash")], {})
    assert FileOwnerRules(path, DIMENSIONS).version != before


def test_the_example_knows_every_topic_of_the_simulated_bank() -> None:
    owners = FileOwnerRules(source(None, "ownership.yaml"), DIMENSIONS)
    assert owners.team_of(("ES", "atm"), TODAY) == "cash-withdrawals"
    topics = "atm cards login transfer loan mortgage account app fraud fees insurance invest branch statement payments"
    assert "unattributed" not in {owners.team_of(("ES", topic), TODAY) for topic in topics.split()}


FAULTY = """
teams:
  cash: {name: Cash, cost_centre: CC-1}
rules:
  - {match: {topic: atm}, team: nobody}
  - {match: {colour: red}, team: cash}
  - {match: {topic: atm}, team: cash, since: 2026-04-01, until: 2026-01-01}
"""


def test_all_that_is_wrong_with_a_file_is_said_at_once(tmp_path: Path) -> None:
    path = tmp_path / "ownership.yaml"
    path.write_text(FAULTY)
    with pytest.raises(ConfigurationError) as error:
        FileOwnerRules(path, DIMENSIONS)
    assert error.value.faults == [
        f"{path}: rules[0].team: nobody is none of the teams",
        f"{path}: rules[1].match.colour: is none of country, topic",
        f"{path}: rules[2].until: is not after since",
    ]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("teams: [", "expected"),
        ("teams: {}\nteams: {}", "teams stands twice"),
        ("teams: {}\nrulez: []", "rulez"),
        ("teams: {cash: {name: Cash}}", "teams.cash.cost_centre"),
        ("- 1", "the file"),
        ("teams: {}\nrules: [{team: unattributed, since: 2026-01-01T00:00:00}]", "give a zone"),
    ],
)
def test_a_faulty_file_is_named_in_one_line(tmp_path: Path, content: str, says: str) -> None:
    path = tmp_path / "ownership.yaml"
    path.write_text(content)
    with pytest.raises(ConfigurationError) as error:
        FileOwnerRules(path, DIMENSIONS)
    (fault,) = error.value.faults
    assert fault.startswith(f"{path}: ")
    assert says in fault
    assert "\n" not in fault


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        FileOwnerRules(tmp_path / "ownership.yaml", DIMENSIONS)
