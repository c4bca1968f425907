"""The life of an incident is one table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pegel.alerter.incidents.domain.life import LIFE, Event, NotPossible, after, incident_id
from pegel.schemas.incident import IncidentState

EVENTS: tuple[Event, ...] = ("open", "acknowledge", "resolve", "reopen")
STATES: tuple[IncidentState | None, ...] = (None, "open", "acknowledged", "resolved")


@given(st.lists(st.sampled_from(EVENTS), max_size=30))
def test_any_run_of_events_stays_within_the_table(events: list[Event]) -> None:
    state: IncidentState | None = None
    for event in events:
        if (state, event) in LIFE:
            state = after(state, event)
            assert state in STATES
        else:
            with pytest.raises(NotPossible):
                after(state, event)


def test_every_state_is_reached_and_left() -> None:
    assert {before for before, _ in LIFE} == set(STATES)
    assert set(LIFE.values()) == set(STATES) - {None}


@pytest.mark.parametrize(
    ("state", "event"),
    [
        ("resolved", "acknowledge"),
        ("acknowledged", "acknowledge"),
        ("resolved", "resolve"),
        ("open", "open"),
        (None, "resolve"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(state: IncidentState | None, event: Event) -> None:
    with pytest.raises(NotPossible, match=rf"{state or 'new'} can't {event}, only "):
        after(state, event)


@given(st.text(max_size=256), st.text(max_size=256))
def test_ids_come_from_the_spike_alone(one: str, other: str) -> None:
    assert incident_id(one) == incident_id(one)
    assert (incident_id(one) == incident_id(other)) == (one == other)
    assert len(incident_id(one)) == 20
