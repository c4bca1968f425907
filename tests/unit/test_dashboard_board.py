"""What the page shows, from what the alerter says."""

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from pegel.dashboard.domain.board import Board, Known, board_of
from pegel.dashboard.domain.costs import ROWS_MAX, costs_of
from pegel.dashboard.domain.incidents import level_of
from pegel.schemas.incident import Incident, IncidentList
from support.dashboards import BANK, NIGHT, costs, incident

NAMES = {"ES": "Spain", "DE": "Germany", "PL": "Poland"}
NOW = NIGHT + timedelta(seconds=12)
CALM = Known(
    open=IncidentList(items=(), as_of=NIGHT, stale=False),
    acknowledged=IncidentList(items=(), as_of=NIGHT, stale=False),
    resolved=IncidentList(items=(), as_of=NIGHT, stale=False),
    costs=costs(BANK),
)


def listed(*items: Incident, stale: bool = False) -> IncidentList:
    return IncidentList(items=items, as_of=NIGHT, stale=stale)


def board(known: Known) -> Board:
    return board_of(known, "24h", NAMES, NOW)


ATM = incident()
LOGIN = incident("i2", country="DE", topic="login", team="digital-identity", cost="301.20")
FEES = incident("i3", country="PL", topic="fees", team="pricing", cost="9.00")


@pytest.mark.parametrize(
    ("open_", "acknowledged", "sentence", "tone"),
    [
        ((), (), "All quiet: no incident is open.", "quiet"),
        ((ATM,), (), "1 incident open: Cash machines, Spain.", "alarm"),
        ((ATM,), (LOGIN,), "1 incident open: Cash machines, Spain. 1 more acknowledged.", "alarm"),
        ((FEES, ATM, LOGIN), (), "3 incidents open: Cash machines, Spain; Login, Germany; and 1 more.", "alarm"),
        ((), (LOGIN,), "1 incident acknowledged, none waiting: Login, Germany.", "seen"),
    ],
)
def test_the_sentence_says_how_things_stand(
    open_: tuple[Incident, ...], acknowledged: tuple[Incident, ...], sentence: str, tone: str
) -> None:
    seen = tuple(found.model_copy(update={"state": "acknowledged"}) for found in acknowledged)
    shown = board(replace(CALM, open=listed(*open_), acknowledged=listed(*seen)))
    assert (shown.sentence, shown.tone) == (sentence, tone)


def test_open_incidents_come_before_dearer_acknowledged_ones() -> None:
    dear = incident("dear", state="acknowledged", cost="99999.00")
    shown = board(replace(CALM, open=listed(FEES, ATM), acknowledged=listed(dear)))
    assert [card.id for card in shown.cards] == ["inc-atm-es", "i3", "dear"]


def test_the_tab_tells_too() -> None:
    assert board(replace(CALM, open=listed(ATM))).title == "(1) Cash machines, Spain · Pegel"
    assert board(CALM).title == "Pegel"


def test_a_card_has_what_is_needed_at_night() -> None:
    (card,) = board(replace(CALM, open=listed(ATM))).cards
    assert (card.topic, card.place, card.code, card.team) == ("Cash machines", "Spain", "ES · atm", "cash-withdrawals")
    assert (card.since.text, card.observed, card.expected, card.cost) == ("02:11 UTC", "342", "61", "€1,204.50")
    assert (card.level, card.times) == ("severe", "5.6 times the expected")
    assert (card.observed_width, card.expected_width) == (100, 18)
    assert card.page.startswith("paged cash-withdrawals")
    assert [step.text for step in card.history] == ["opened by judge: spike opened"]


@pytest.mark.parametrize(
    ("state", "buttons"), [("open", (True, True)), ("acknowledged", (False, True)), ("resolved", (False, False))]
)
def test_buttons_follow_the_state(state: str, buttons: tuple[bool, bool]) -> None:
    (card,) = board(replace(CALM, open=listed(ATM.model_copy(update={"state": state})))).cards
    assert (card.can_acknowledge, card.can_resolve) == buttons


@pytest.mark.parametrize(
    ("observed", "expected", "level"),
    [(30, 10, "severe"), (29, 10, "high"), (15, 10, "high"), (14, 10, "raised"), (1, 0, "severe")],
)
def test_levels(observed: float, expected: float, level: str) -> None:
    assert level_of(observed, expected) == level


def test_a_ratio_to_nothing_is_not_shown() -> None:
    (card,) = board(replace(CALM, open=listed(incident(observed=12, expected=0.03)))).cards
    assert (card.times, card.expected) == ("", "almost none")
    assert (card.observed_width, card.expected_width) == (100, 0)


def test_stale_is_said_and_quiet_is_then_not_promised() -> None:
    shown = board(replace(CALM, open=listed(stale=True)))
    assert shown.freshness.stale
    assert shown.tone == "unknown"
    assert shown.sentence == "Last known: all quiet: no incident is open."


def test_an_alerter_that_is_away_makes_stale_what_it_said_last() -> None:
    shown = board(replace(CALM, open=listed(ATM), fault="no connection", fault_since=NIGHT))
    assert shown.freshness.stale
    assert shown.sentence == "Last known: 1 incident open: Cash machines, Spain."
    assert shown.fault == "no connection"
    assert shown.title == "(?) Pegel"


def test_an_alerter_that_never_answered_leaves_nothing_known() -> None:
    shown = board(Known(fault="no connection", fault_since=NIGHT))
    assert (shown.tone, shown.cards, shown.costs, shown.empty) == ("unknown", (), None, False)
    assert "Not known" in shown.sentence


def test_before_the_first_contact_it_waits() -> None:
    none = IncidentList(items=(), as_of=None, stale=False)
    nothing = costs(()).model_copy(update={"as_of": None})
    shown = board(Known(open=none, acknowledged=none, resolved=none, costs=nothing))
    assert shown.empty
    assert (shown.tone, shown.sentence) == ("unknown", "Nothing has been counted yet.")


def test_the_age_of_what_lies_in_the_past_on_purpose_is_not_shown() -> None:
    past = NIGHT - timedelta(days=5000)
    old = IncidentList(items=(), as_of=past, stale=False)
    assert not board(replace(CALM, open=old)).freshness.aged
    assert board(CALM).freshness.aged
    assert board(replace(CALM, open=IncidentList(items=(), as_of=past, stale=True))).freshness.aged


def test_table_and_picture_have_the_same_numbers() -> None:
    shown = costs_of(costs(BANK), NOW)
    assert [row.topic for row in shown.rows] == [bar.label for bar in shown.bars]
    assert [row.cost for row in shown.rows][:2] == ["€4,210.50", "€3,905.25"]
    assert (shown.rows[0].share, shown.rows[1].running, shown.rows[-1].running) == ("16\xa0%", "32\xa0%", "100\xa0%")
    assert shown.total == "€25,752.20"
    assert sum(Decimal(bar.amount) for bar in shown.bars) == Decimal("25752.20")
    assert shown.summary.startswith("The dearest cause is Cash machines (cash-withdrawals) with €4,210.50")


def test_many_causes_are_folded_into_one_without_losing_a_cent() -> None:
    many = [(f"team-{n}", f"topic-{n}", 10, "1.01") for n in range(40)]
    shown = costs_of(costs(many), NOW)
    assert len(shown.rows) == ROWS_MAX
    assert (shown.rows[-1].topic, shown.rows[-1].contacts) == ("26 other causes", 260)
    assert sum(Decimal(bar.amount) for bar in shown.bars) == Decimal("40.40")


def test_a_topic_of_two_teams_is_told_apart_in_the_picture() -> None:
    shown = costs_of(costs([("cards-es", "cards", 1, "2.00"), ("cards-de", "cards", 1, "1.00")]), NOW)
    assert [bar.label for bar in shown.bars] == ["Cards · cards-es", "Cards · cards-de"]


def test_what_was_taken_back_stands_in_the_table_and_is_no_bar() -> None:
    shown = costs_of(costs([("a", "cards", 3, "9.00"), ("b", "login", -1, "-3.00")]), NOW)
    assert [row.cost for row in shown.rows] == ["€9.00", "-€3.00"]
    assert [(bar.label, bar.running) for bar in shown.bars] == [("Cards", "100.00")]


@pytest.mark.parametrize(
    ("amounts", "ends"),
    [
        (["9.00"], "€9.00, 100\xa0% of all."),
        (["9.00", "1.00"], "It alone makes up half or more."),
        (["4.00", "3.00", "3.00"], "The 2 dearest causes make up half or more."),
        (["0.00"], "Nothing has cost anything in this period."),
    ],
)
def test_the_picture_in_a_sentence(amounts: list[str], ends: str) -> None:
    rows = [("team", f"topic-{number}", 1, amount) for number, amount in enumerate(amounts)]
    assert costs_of(costs(rows), NOW).summary.endswith(ends)


def test_a_small_share_is_not_called_none() -> None:
    shown = costs_of(costs([("a", "cards", 3, "999.00"), ("b", "login", 1, "1.00")]), NOW)
    assert [row.share for row in shown.rows] == ["100\xa0%", "<1\xa0%"]


def test_nothing_charged_is_no_picture() -> None:
    assert not costs_of(costs(()), NOW).drawn
    assert not costs_of(costs([("a", "cards", 3, "0.00")]), NOW).drawn
