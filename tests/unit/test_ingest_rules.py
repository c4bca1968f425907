"""Who may send an item and when it may have arrived; `now` is an argument."""

from datetime import UTC, datetime, timedelta

import pytest

from pegel.ingest.domain.rules import Rules
from pegel.schemas.contact import Amendment, AmendmentSet, Contact

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
AHEAD, AGE = timedelta(minutes=5), timedelta(days=35)
WALL = Rules(None, NOW - AGE, NOW + AHEAD, "old", "ahead")


def at(moment: datetime, source: str | None = None) -> Contact:
    return Contact(event_id="1", occurred_at=moment, country="ES", topic="atm", channel="phone", source=source)


@pytest.mark.parametrize("moment", [NOW, NOW + AHEAD, NOW - AGE, NOW.astimezone(tz=None)])
def test_within_bounds(moment: datetime) -> None:
    assert WALL.refuse(0, at(moment)) is None


@pytest.mark.parametrize(
    ("moment", "reason"),
    [
        (NOW + AHEAD + timedelta(microseconds=1), "ahead"),
        (NOW - AGE - timedelta(microseconds=1), "old"),
    ],
)
def test_beyond_bounds(moment: datetime, reason: str) -> None:
    refused = WALL.refuse(3, at(moment))
    assert refused is not None
    assert (refused.index, refused.reason) == (3, "time")
    assert (refused.errors[0].field, refused.errors[0].reason) == ("occurred_at", reason)


def test_data_mode_has_no_bounds() -> None:
    for moment in (datetime(1971, 1, 1, tzinfo=UTC), datetime(2199, 1, 1, tzinfo=UTC)):
        assert Rules(None).refuse(0, at(moment)) is None


def test_a_token_is_for_one_source() -> None:
    rules = Rules("desk-es")
    assert rules.refuse(0, at(NOW)) is None
    assert rules.refuse(0, at(NOW, "desk-es")) is None
    refused = rules.refuse(0, at(NOW, "desk-pt"))
    assert refused is not None
    assert (refused.reason, refused.errors[0].field) == ("source", "source")


def test_whose_item_it_is() -> None:
    assert Rules("desk-es").source_of(at(NOW)) == "desk-es"
    assert Rules(None).source_of(at(NOW, "desk-pt")) == "desk-pt"
    assert Rules(None).source_of(at(NOW)) == "local"


def test_an_amended_time_has_bounds_too() -> None:
    def amended(moment: datetime) -> Amendment:
        return Amendment(
            amendment_id="1", event_id="1", reason="retagged", set=AmendmentSet(occurred_at=moment, topic="cards")
        )

    assert WALL.refuse(0, amended(NOW)) is None
    refused = WALL.refuse(0, amended(NOW + timedelta(days=1)))
    assert refused is not None
    assert refused.errors[0].field == "set.occurred_at"
    assert WALL.refuse(0, Amendment(amendment_id="1", event_id="1", reason="spam", void=True)) is None
