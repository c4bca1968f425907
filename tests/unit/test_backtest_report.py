"""The report is for who owns a product: sentences, charts, no word of statistics before its appendix."""

import dataclasses
import re
from datetime import UTC, datetime
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path

import pytest

from pegel.cli.backtest.alarms import Alarm
from pegel.cli.backtest.curves import PAGES_MAX
from pegel.cli.backtest.labels import Label, Verdict
from pegel.cli.backtest.prices import Prices
from pegel.cli.backtest.results import Result, summary
from pegel.cli.backtest.sentences import usual_words
from pegel.runtime.settings import ConfigurationError
from support.backtests import ATM, WORDS, Scripted, counts_of, event, ran, report_of, three_pages

STATISTICS = (
    "anomal", "average", "baseline", "bayes", "bucket", "confidence", "correlat", "deviation", "dispersion",
    "distribution", "estimat", "gaussian", "likelihood", "log10", "median", "null hypothesis", "outlier", "p-value",
    "p value", "percentile", "poisson", "predictive", "probab", "quantile", "regress", "residual", "roll-up", "score",
    "sigma", "significan", "standard", "statistic", "threshold", "varian", "z-score", "%",
)  # fmt: skip
"""Words, or their beginnings, that somebody who owns a product should not need."""

PRICES = """
currency: EUR
services: {desk: The desk}
prices:
  - {match: {country: ES}, service: desk, unit_price: "5.00"}
  - {match: {country: PT}, service: desk, unit_price: "2.00"}
"""


class Text(HTMLParser):
    """All that is read or read aloud, up to the appendix; and what is fetched from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.before: list[str] = []
        self.fetched: list[str] = []
        self.ids: list[str] = []
        self._appendix = self._style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._style = tag == "style"
        self._appendix = self._appendix or given.get("id") == "appendix"
        self.ids += [given["id"] or ""] if "id" in given else []
        if tag in {"script", "link", "img", "iframe", "image", "use"}:
            self.fetched.append(tag)
        self.fetched += [f"{name}={value}" for name, value in attrs if name in {"src", "href", "xlink:href"}
                         and not (value or "").startswith("#")]  # fmt: skip
        if not self._appendix:
            self.before += [given[name] or "" for name in ("aria-label", "title", "alt") if name in given]

    def handle_data(self, data: str) -> None:
        if not self._appendix and not self._style:
            self.before.append(data)


def alarm(**fields: object) -> Alarm:
    at = int(datetime(2024, 11, 12, 2, 22, tzinfo=UTC).timestamp()) - 3600
    whole = Alarm("ES/atm@x", ATM, at, at + 1200, at + 6480 + 3600, 2.0, 1200, 31, 2.1, 40, 11.0, "x", 2.0)
    return dataclasses.replace(whole, **fields)  # type: ignore[arg-type]


def test_a_page_in_a_sentence() -> None:
    assert WORDS.sentence(alarm(), "Europe/Madrid", Decimal("145.20")).replace("\N{NO-BREAK SPACE}", " ") == (
        "Cash machines, Spain: 31 contacts in 20 minutes where 2 are usual, from 02:22 to 04:10 on Tue 12 Nov; "
        "29 more than usual, about EUR 145."
    )


def test_a_page_that_goes_over_midnight_or_on_and_one_without_a_price() -> None:
    later = alarm(segment=("*", "atm"), onset=alarm().onset - 7200, expected=0.03, window_seconds=86_400)
    assert WORDS.sentence(later, "UTC", None) == (
        "Cash machines, all countries: 31 contacts in 24 hours where almost none are usual, "
        "from 23:22 on Mon 11 Nov to 03:10 on Tue 12 Nov; 29 more than usual."
    )
    up = alarm(segment=("*", "*"), resolved_at=None, observed=1, window_seconds=300, expected_since=99.0)
    assert dataclasses.replace(WORDS, with_year=True).sentence(up, "UTC", None) == (
        "Everything: 1 contact in 5 minutes where 2 are usual, from 01:22 on Tue 12 Nov 2024, "
        "still going on when the file ends; 0 more than usual."
    )


@pytest.mark.parametrize(
    ("expected", "words"), [(0.01, "almost none are"), (0.5, "fewer than 1 is"), (1.2, "1 is"), (1234.6, "1,235 are")]
)
def test_what_is_usual(expected: float, words: str) -> None:
    assert usual_words(expected) == words


def test_places_of_other_dimensions() -> None:
    words = dataclasses.replace(WORDS, dimensions=("queue", "attributes.region"))
    assert words.place(("billing", "north")) == "Queue billing, region north"
    assert words.place(("billing", "*")) == "Queue billing, region: any"


def test_prices_of_a_roll_up_are_those_of_its_contacts(tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text(PRICES)
    counts = counts_of({ATM: [30, 30], ("PT", "atm"): [10, 10], ("FR", "atm"): [500, 1]})
    prices = Prices(file, counts)
    assert prices.currency == "EUR"
    assert prices.cost(alarm()) == Decimal("145.00")
    # 60 contacts at 5 and 20 at 2: 4.25 a contact; those without a price say nothing.
    assert prices.cost(alarm(segment=("*", "atm"))) == Decimal("123.25")
    assert prices.cost(alarm(segment=("FR", "atm"))) is None
    assert prices.cost(alarm(observed_since=3)) == 0
    file.write_text("currency: Taler\n")
    with pytest.raises(ConfigurationError, match="currency"):
        Prices(file, counts)


WEEK = 10_080


@pytest.fixture(scope="module")
def page() -> str:
    return three_pages("calls <b>.csv")


def test_it_uses_no_word_of_statistics_before_its_appendix(page: str) -> None:
    text = Text()
    text.feed(page)
    said = " ".join(text.before).lower()
    assert [word for word in STATISTICS if re.search(rf"(?<![a-z]){re.escape(word)}", said)] == []
    assert "more than usual" in said
    assert "score" in page  # the appendix says how


def test_it_works_offline_and_its_ids_are_its_own(page: str) -> None:
    text = Text()
    text.feed(page)
    assert text.fetched == []
    assert "@import" not in page
    assert "url(http" not in page
    assert len(set(text.ids)) == len(text.ids)


def test_it_opens_with_a_sentence_for_each_page_and_has_a_chart_for_each(page: str) -> None:
    text = Text()
    text.feed(page)
    said = " ".join(" ".join(text.before).split())
    first = said.index("Cash machines, Spain: 31 contacts in 15 minutes where 2 are usual")
    assert said.index("All in all") > first > said.index("Every page in a sentence")
    assert page.count('<svg role="img"') == 4  # three pages and the weeks
    assert "about EUR\N{NO-BREAK SPACE}5.00." in page
    assert "calls &lt;b&gt;.csv" in page
    assert "calls <b>" not in page


def test_it_says_what_was_found_missed_and_false(page: str) -> None:
    said = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    assert "Of 2 known events 1 was found and 1 missed. 2 pages fit none of them." in said
    assert "False pages a week: 5 promised, 2.0 seen." in said
    assert "It did happen: this was the first page, 5 min after it began." in said
    assert said.count("Nothing is known to have happened here then.") == 4  # of two pages, in list and section


def test_without_a_page_it_says_so() -> None:
    page = report_of([])
    assert "Nobody would have been paged between Mon 11 Nov and Sun 17 Nov" in page
    assert "Page by page" not in page


def test_only_the_first_pages_are_drawn_and_it_says_so() -> None:
    page = report_of([event("opened", WEEK + 5 + 5 * number, (f"{number}", "atm")) for number in range(PAGES_MAX + 3)])
    assert page.count("<article") == PAGES_MAX
    assert page.count("<li><a href=") == PAGES_MAX + 3
    assert f"The first {PAGES_MAX} of {PAGES_MAX + 3} pages are drawn" in page


def test_the_summary_in_words() -> None:
    counts = counts_of({ATM: [2] * 4032})
    result = Result(ran(Scripted(), counts, judged_from=2016), (alarm(),), None, 1.25, 300)
    assert summary(result) == (
        "scripted: 4,032 buckets of 5 minutes, of which 2,016 were judged; 1 segment and 1 roll-up; "
        "1 page, 1.0 a week; 1.2 s"
    )
    verdict = Verdict(((Label(ATM, alarm().onset, alarm().onset), alarm()),), (), (alarm(),))
    assert summary(dataclasses.replace(result, verdict=verdict)).endswith(
        "; found 1 of 1, missed 0, 1 false; delay 20 min (half), 20 min (nine of ten)"
    )
    promised = dataclasses.replace(result, verdict=verdict, promised_per_week=5.0)
    assert "; found 1 of 1, missed 0, 1 false, 1.0 a week where 5 were promised; delay" in summary(promised)
