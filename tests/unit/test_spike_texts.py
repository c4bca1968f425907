# ruff: noqa: E501 (whole texts)
"""What is said of a spike: whole texts of situations in both languages, and shares and rarity of any numbers."""

from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pegel.detector.judge.domain.explaining import (
    RARITY_FACTOR,
    VALUES_MAX,
    Carrier,
    Facts,
    carried,
    explain,
    line_name,
    rarity_weeks,
)
from pegel.detector.judge.domain.spikes import Spike

NOON = 1_772_452_800
DIMENSIONS = ("country", "topic")


def spike(line: tuple[str, ...] = ("ES", "atm"), **over: object) -> Spike:
    values: dict[str, object] = {
        "spike_id": "s", "line": line, "opened_at": NOON, "onset": NOON - 1200, "observed": 61, "expected": 12.4,
        "told_excess": 48.6, "last_above": NOON, "window_seconds": 900, "window_observed": 58, "window_expected": 9.5,
        "window_variance": 12.0, "score": 2.0, "peak": 2.0, "lines": 200,
    }  # fmt: skip
    return Spike(**{**values, **over})  # type: ignore[arg-type]


def facts(**over: object) -> Facts:
    values: dict[str, object] = {"lower": 2.7, "upper": 16.3, "rarity_weeks": 12.0, "trend": "growing"}
    return Facts(**{**values, "dimensions": DIMENSIONS, **over})  # type: ignore[arg-type]


def said(of: Spike, its: Facts) -> tuple[str, str]:
    return (
        explain(of, line_name(of.line), end=NOON, facts=its),
        explain(of, line_name(of.line, "de"), end=NOON, facts=its, language="de"),
    )


SITUATIONS = {
    "counts alone": (
        spike(),
        facts(),
        "atm, ES: 58 contacts in 15 min, 9.5 expected, 6 times as many as usual. Up for 20 min, growing: 61 contacts so "
        "far, 12 expected; by chance about once in 12 weeks here.",
        "atm, ES: 58 Kontakte in 15 min, erwartet 9,5, 6-mal so viele wie sonst. Seit 20 min, steigend: bisher 61 "
        "Kontakte, erwartet 12; durch Zufall hier etwa einmal in 12 Wochen.",
    ),
    "many customers, carried by a subtopic": (
        spike(),
        facts(
            customers=51,
            carriers=(
                Carrier("subtopic", "no-cash", 0.85, 0.2),
                Carrier("subtopic", "unknown", 0.15, 0.8),
                Carrier("channel", "phone", 0.7, 0.65),
                Carrier("handler", "partner", 1.0, 0.6),
            ),
        ),
        "atm, ES: 58 contacts from 51 customers in 15 min, 9.5 expected, 6 times as many as usual. Up for 20 min, "
        "growing: 61 contacts so far, 12 expected; carried by no-cash 85%, partner 100%; by chance about once in 12 "
        "weeks here.",
        "atm, ES: 58 Kontakte von 51 Kunden in 15 min, erwartet 9,5, 6-mal so viele wie sonst. Seit 20 min, steigend: "
        "bisher 61 Kontakte, erwartet 12; getragen von no-cash 85 %, partner 100 %; durch Zufall hier etwa einmal in "
        "12 Wochen.",
    ),
    "not all customers are known": (
        spike(window_seconds=86_400, window_observed=2400, window_expected=2000.0),
        facts(customers=1000, at_least=True, trend="steady", rarity_weeks=1.2),
        "atm, ES: 2400 contacts from at least 1000 customers in 24 h, 2000 expected. Up for 20 min, steady: 61 contacts "
        "so far, 12 expected; by chance about once a week here.",
        "atm, ES: 2400 Kontakte von mindestens 1000 Kunden in 24 h, erwartet 2000. Seit 20 min, gleichbleibend: bisher "
        "61 Kontakte, erwartet 12; durch Zufall hier etwa einmal in der Woche.",
    ),
    "one customer": (
        spike(window_observed=5, window_expected=0.04, observed=5, expected=0.05),
        facts(customers=1, trend="falling"),
        "atm, ES: 5 contacts from 1 customer in 15 min, almost none expected. Up for 20 min, falling: 5 contacts so far, "
        "almost none expected; by chance about once in 12 weeks here.",
        "atm, ES: 5 Kontakte von 1 Kunden in 15 min, erwartet fast keine. Seit 20 min, fallend: bisher 5 Kontakte, "
        "erwartet fast keine; durch Zufall hier etwa einmal in 12 Wochen.",
    ),
    "part of a topic's rise": (
        spike(),
        facts(customers=58, better=("*", "atm")),
        "atm, ES: 58 contacts from 58 customers in 15 min, 9.5 expected, 6 times as many as usual. Up for 20 min, "
        "growing: 61 contacts so far, 12 expected; by chance about once in 12 weeks here; part of a rise of atm across "
        "all countries.",
        "atm, ES: 58 Kontakte von 58 Kunden in 15 min, erwartet 9,5, 6-mal so viele wie sonst. Seit 20 min, steigend: "
        "bisher 61 Kontakte, erwartet 12; durch Zufall hier etwa einmal in 12 Wochen; Teil eines Anstiegs von atm über "
        "alle Länder.",
    ),
    "part of a country's rise": (
        spike(),
        facts(better=("ES", "*")),
        "atm, ES: 58 contacts in 15 min, 9.5 expected, 6 times as many as usual. Up for 20 min, growing: 61 contacts so "
        "far, 12 expected; by chance about once in 12 weeks here; part of a rise of ES across all topics.",
        "atm, ES: 58 Kontakte in 15 min, erwartet 9,5, 6-mal so viele wie sonst. Seit 20 min, steigend: bisher 61 "
        "Kontakte, erwartet 12; durch Zufall hier etwa einmal in 12 Wochen; Teil eines Anstiegs von ES über alle Themen.",
    ),
    "a topic in all countries": (
        spike(("*", "atm"), window_observed=140, window_expected=45.0),
        facts(
            customers=131,
            carriers=(
                Carrier("country", "ES", 0.6),
                Carrier("country", "PT", 0.3),
                Carrier("country", "FR", 0.07),
                Carrier("country", "other", 0.03),
                Carrier("channel", "phone", 0.95, 0.5),
            ),
            better=("*", "*"),
        ),
        "atm: 140 contacts from 131 customers in 15 min, 45 expected, 3 times as many as usual. Up for 20 min, growing: "
        "61 contacts so far, 12 expected; carried by ES 60%, PT 30%, phone 95%; by chance about once in 12 weeks here; "
        "part of a rise of everything.",
        "atm: 140 Kontakte von 131 Kunden in 15 min, erwartet 45, 3-mal so viele wie sonst. Seit 20 min, steigend: "
        "bisher 61 Kontakte, erwartet 12; getragen von ES 60 %, PT 30 %, phone 95 %; durch Zufall hier etwa einmal in "
        "12 Wochen; Teil eines Anstiegs von allem.",
    ),
    "everything": (
        spike(("*", "*"), window_seconds=3600, window_observed=900, window_expected=600.0),
        facts(carriers=(Carrier("country", "ES", 1.0), Carrier("topic", "atm", 0.55), Carrier("topic", "login", 0.45))),
        "everything: 900 contacts in 1 h, 600 expected. Up for 20 min, growing: 61 contacts so far, 12 expected; carried "
        "by ES 100%, atm 55%, login 45%; by chance about once in 12 weeks here.",
        "alles: 900 Kontakte in 1 h, erwartet 600. Seit 20 min, steigend: bisher 61 Kontakte, erwartet 12; getragen von "
        "ES 100 %, atm 55 %, login 45 %; durch Zufall hier etwa einmal in 12 Wochen.",
    ),
    "a dimension of one's own": (
        spike(("north", "atm")),
        facts(better=("*", "atm"), dimensions=("attributes.region", "topic")),
        "atm, north: 58 contacts in 15 min, 9.5 expected, 6 times as many as usual. Up for 20 min, growing: 61 contacts "
        "so far, 12 expected; by chance about once in 12 weeks here; part of a rise of atm across all segments.",
        "atm, north: 58 Kontakte in 15 min, erwartet 9,5, 6-mal so viele wie sonst. Seit 20 min, steigend: bisher 61 "
        "Kontakte, erwartet 12; durch Zufall hier etwa einmal in 12 Wochen; Teil eines Anstiegs von atm über alle "
        "Segmente.",
    ),
}


@pytest.mark.parametrize(("of", "its", "english", "german"), SITUATIONS.values(), ids=SITUATIONS)
def test_it_says(of: Spike, its: Facts, english: str, german: str) -> None:
    assert said(of, its) == (english, german)


values = st.one_of(st.sampled_from(["phone", "chat", "other", "unknown"]), st.text(min_size=1, max_size=3))
amounts = st.floats(-1e6, 1e6, allow_nan=False)


@given(st.dictionaries(values, amounts, max_size=40), st.dictionaries(values, st.floats(0, 1e6), max_size=40))
def test_the_shares_of_a_dimension_add_up_to_1_or_there_are_none(
    excess: dict[str, float], usual: dict[str, float]
) -> None:
    found = carried("channel", list(excess.items()), usual)
    assert bool(found) == any(amount > 0 for amount in excess.values())
    assert len({carrier.value for carrier in found}) == len(found) <= VALUES_MAX + 1
    assert all(0 < carrier.share <= 1 for carrier in found)
    for _, its in groupby(found, key=lambda carrier: carrier.dimension):
        assert sum(carrier.share for carrier in its) == pytest.approx(1.0, abs=1e-9)


@given(st.floats(-9, 40), st.integers(1, 100_000), st.floats(0, 500))
def test_nothing_is_called_rarer_than_three_times_the_history(score: float, lines: int, history_weeks: float) -> None:
    weeks = rarity_weeks(spike(score=score, lines=lines), history_weeks)
    assert weeks <= max(1.0, RARITY_FACTOR * history_weeks)
    assert RARITY_FACTOR == 3
