"""docs/evidence.md says what its files say, and a page that nobody looked at is told."""

import csv
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from support import evidence
from support.evidence import DOCS, FOLDER, SETTINGS, SUBJECTS, UNKNOWN, Event, Page, Ran, best_shown, read_events

NOON = datetime(2013, 2, 9, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SNOW = Event("ottawa", "snow", NOON - DAY, NOON + DAY, "*", "Roads", "real", "Snow")


def page(region: str, topic: str, onset: datetime = NOON) -> Page:
    return Page("ottawa", 5, (region, topic), onset, onset, "Nine contacts.", "")


@pytest.mark.parametrize(
    ("region", "topic", "onset", "fits"),
    [
        ("Ward 1", "Roads", NOON, True),
        ("*", "Roads", NOON, True),
        ("Ward 1", "Waste", NOON, False),
        ("*", "*", NOON, False),
        ("Ward 1", "Roads", NOON + 2 * DAY, False),
    ],
)
def test_an_event_fits_the_pages_of_its_place_and_time(region: str, topic: str, onset: datetime, fits: bool) -> None:
    assert SNOW.fits(page(region, topic, onset)) is fits


def test_a_page_without_an_event_stands_in_a_column_of_its_own() -> None:
    pages = (page("Ward 1", "Roads"), page("Ward 1", "Waste"))
    pages[0].event = SNOW
    *_, line = evidence.sums_table([Ran(SUBJECTS[0], 5, 2.0, pages)])
    assert line == "| ottawa | 5 | 2 | 1 | 0 | 0 | 0 | 0 | 1 | 0.5 |"


def test_the_chart_of_an_event_is_a_roll_ups_where_one_paged() -> None:
    pages = [page(*line) for line in (("Ward 1", "Roads"), ("*", "*"), ("*", "Roads"))]
    for each in pages:
        each.event, each.svg = SNOW, "<svg></svg>"
    assert best_shown(pages) is pages[2]
    assert best_shown(pages[:2]) is pages[1]


def test_an_event_is_told_in_one_way() -> None:
    said = {(event.name, event.verdict, event.what) for event in read_events()}
    assert len(said) == len({name for name, *_ in said})


def test_the_document_says_what_its_pages_say() -> None:
    with (FOLDER / "pages.csv").open(encoding="utf-8", newline="") as file:
        pages = list(csv.DictReader(file))
    assert {row["verdict"] for row in pages} <= set(evidence.VERDICTS) - {UNKNOWN}
    text = (DOCS / "evidence.md").read_text("utf-8")
    for subject in SUBJECTS:
        for setting in SETTINGS:
            mine = [row for row in pages if (row["data"], row["setting"]) == (subject.name, str(setting))]
            verdicts = Counter(row["verdict"] for row in mine)
            numbers = " | ".join(str(verdicts[verdict]) for verdict in evidence.VERDICTS)
            assert f"| {subject.name} | {setting} | {len(mine)} | {numbers} |" in text
    pictures = {path.name for path in FOLDER.glob("*.svg")}
    assert pictures == {name for name in pictures if f"(evidence/{name})" in text}
    assert pictures
