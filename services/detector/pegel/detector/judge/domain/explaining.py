"""What is said of a spike, made from its fields alone: how rare, growing or falling, who carries it; in en and de."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Final, Literal

from scipy.stats import binom

from pegel.detector.judge.domain.spikes import Spike
from pegel.schemas.detection import UNKNOWN

Trend = Literal["growing", "steady", "falling"]
TREND_SECONDS: Final = 900
TREND_LEVEL: Final = 0.05
BAND: Final = 1.96
RARITY_FACTOR: Final = 3.0
"""Nothing is called rarer than so many times the history it was learnt from."""
MEMBERS_NAMED: Final = 3
"""So many values of the dimensions left out are named in the text."""
FIELDS_NAMED: Final = 2
"""So many of other fields."""
SHARE_MIN: Final = 0.1
"""A value is named that has so much of the excess."""
UNLIKE: Final = 0.1
"""Of a field the first is named that has so much more of it than is usual."""
VALUES_MAX: Final = 12
"""Of a dimension; what carries less than these is `other`."""
OTHER: Final = "other"
PARTS: Final = 10_000
"""Shares are told in these."""


@dataclass(frozen=True, slots=True)
class Carrier:
    """What carries the excess: a value of a dimension, and its share; the shares of a dimension add up to 1.

    usual: its share of what is expected; None: not known, or not to be compared (a dimension that the line leaves out).
    """

    dimension: str
    value: str
    share: float
    usual: float | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """Of a spike, beside its counts.

    customers: distinct ones in the telling window, at_least: or more; None: contacts don't say. better: the roll-up
    that describes it better. dimensions: names, in the order of the line's values.
    """

    lower: float
    upper: float
    rarity_weeks: float
    trend: Trend
    carriers: tuple[Carrier, ...] = ()
    customers: int | None = None
    at_least: bool = False
    better: tuple[str, ...] | None = None
    dimensions: tuple[str, ...] = ()


def rarity_weeks(spike: Spike, history_weeks: float) -> float:
    """Once in how many weeks chance alone brings this to this line: never more than its history can tell."""
    return float(min(10.0 ** min(spike.score, 9.0) * spike.lines, max(1.0, RARITY_FACTOR * history_weeks)))


def band(expected: float, variance: float) -> tuple[float, float]:
    """95 % of what is usual in the telling window."""
    width = BAND * sqrt(variance)
    return max(0.0, expected - width), expected + width


def trend(observed: Sequence[int], expected: Sequence[float]) -> Trend:
    """The last 15 minutes against the 15 before, given what is usual in each: (before, last).

    Given their sum, the later count is binomial when nothing changes (the conditional test of two Poisson rates,
    Przyborowski and Wilenski 1940), each side at 5 %.
    """
    total = observed[0] + observed[1]
    share = max(expected[1], 1e-3) / (max(expected[0], 1e-3) + max(expected[1], 1e-3))
    if total and binom.sf(observed[1] - 1, total, share) < TREND_LEVEL:
        return "growing"
    if total and binom.cdf(observed[1], total, share) < TREND_LEVEL:
        return "falling"
    return "steady"


def carried(
    dimension: str, excess: Sequence[tuple[str, float]], usual: Mapping[str, float] | None = None
) -> tuple[Carrier, ...]:
    """Shares of what lies above its expectation, largest first; they add up to 1. Empty where nothing does.

    usual: what is expected of each value.
    """
    above = [(value, amount) for value, amount in excess if amount > 0 and value != OTHER]
    ranked = sorted(above, key=lambda one: (-one[1], one[0]))
    others = [amount for value, amount in excess if amount > 0 and value == OTHER]
    rest = sum(others) + sum(amount for _, amount in ranked[VALUES_MAX:])
    ranked = [*ranked[:VALUES_MAX], *([(OTHER, rest)] if rest > 0 else [])]
    total = sum(amount for _, amount in ranked)
    if not total > 0:
        return ()
    parts = [round(PARTS * amount / total) for _, amount in ranked]
    parts[0] += PARTS - sum(parts)
    expected = max(sum(usual.values()), 1e-9) if usual else None
    return tuple(
        Carrier(
            dimension,
            value,
            part / PARTS,
            None if usual is None or expected is None else usual.get(value, 0.0) / expected,
        )
        for (value, _), part in zip(ranked, parts, strict=True)
        if part > 0
    )


Language = Literal["en", "de"]
_WORDS: Final[dict[Language, dict[str, str]]] = {
    "en": {
        "first": "{name}: {observed} contacts{customers} in {length}, {expected} expected{times}. ",
        "customer": " from {least}1 customer",
        "customers": " from {least}{count} customers",
        "least": "at least ",
        "times": ", {times:.0f} times as many as usual",
        "second": "Up for {minutes}, {trend}: {since} contacts so far, {usual} expected{carriers}; {rarity}{better}.",
        "carriers": "; carried by {values}",
        "growing": "growing",
        "steady": "steady",
        "falling": "falling",
        "none": "almost none",
        "rarity": "by chance about once in {weeks} weeks here",
        "often": "by chance about once a week here",
        "better": "; part of a rise of {line}",
        "everything": "everything",
        "all": "everything",
        "over": "{name} across all {dimensions}",
        "country": "countries",
        "topic": "topics",
        "segments": "segments",
        "share": "{value} {share:.0f}%",
    },
    "de": {
        "first": "{name}: {observed} Kontakte{customers} in {length}, erwartet {expected}{times}. ",
        "customer": " von {least}1 Kunden",
        "customers": " von {least}{count} Kunden",
        "least": "mindestens ",
        "times": ", {times:.0f}-mal so viele wie sonst",
        "second": "Seit {minutes}, {trend}: bisher {since} Kontakte, erwartet {usual}{carriers}; {rarity}{better}.",
        "carriers": "; getragen von {values}",
        "growing": "steigend",
        "steady": "gleichbleibend",
        "falling": "fallend",
        "none": "fast keine",
        "rarity": "durch Zufall hier etwa einmal in {weeks} Wochen",
        "often": "durch Zufall hier etwa einmal in der Woche",
        "better": "; Teil eines Anstiegs von {line}",
        "everything": "allem",
        "all": "alles",
        "over": "{name} über alle {dimensions}",
        "country": "Länder",
        "topic": "Themen",
        "segments": "Segmente",
        "share": "{value} {share:.0f} %",
    },
}


def explain(spike: Spike, name: str, *, end: int, facts: Facts, language: Language = "en") -> str:
    """One or two sentences, readable on a phone."""
    words = _WORDS[language]
    usual = spike.window_expected
    times = (
        words["times"].format(times=spike.window_observed / usual)
        if usual >= 1 and spike.window_observed >= 2 * usual
        else ""
    )
    named = [words["share"].format(value=c.value, share=100 * c.share) for c in _worth_naming(facts.carriers)]
    weeks = round(facts.rarity_weeks)
    return words["first"].format(
        name=name,
        observed=spike.window_observed,
        customers=_customers_words(facts, words),
        length=length_words(spike.window_seconds),
        expected=number_words(usual, language),
        times=times,
    ) + words["second"].format(
        minutes=length_words(max(60, end - spike.onset)),
        trend=words[facts.trend],
        since=spike.observed,
        usual=number_words(spike.expected, language),
        carriers=words["carriers"].format(values=", ".join(named)) if named else "",
        rarity=words["rarity"].format(weeks=weeks) if weeks > 1 else words["often"],
        better="" if facts.better is None else words["better"].format(line=_line_words(facts, words)),
    )


def _worth_naming(carriers: Sequence[Carrier]) -> list[Carrier]:
    """The largest of the dimensions left out; of each other field the first, where it is not as usual, and rather those
    that are least so."""
    large = [one for one in carriers if one.share >= SHARE_MIN]
    members = sorted((one for one in large if one.usual is None), key=lambda one: -one.share)
    first = {one.dimension: one for one in reversed(large) if one.usual is not None}.values()
    telling = [one for one in first if one.share >= (one.usual or 0.0) + UNLIKE and one.value not in {UNKNOWN, OTHER}]
    telling.sort(key=lambda one: ((one.usual or 0.0) - one.share, one.dimension))
    return [*members[:MEMBERS_NAMED], *telling[:FIELDS_NAMED]]


def _customers_words(facts: Facts, words: Mapping[str, str]) -> str:
    if facts.customers is None:
        return ""
    said = words["customer" if facts.customers == 1 else "customers"]
    return said.format(count=facts.customers, least=words["least"] if facts.at_least else "")


def _line_words(facts: Facts, words: Mapping[str, str]) -> str:
    """A roll-up as a person says it: 'atm across all countries'."""
    line = facts.better or ()
    said = ", ".join(value for value in reversed(line) if value != "*")
    if not said:
        return words["everything"]
    left_out = [name for name, value in zip(facts.dimensions, line, strict=False) if value == "*"]
    dimensions = words.get(left_out[0], words["segments"]) if len(left_out) == 1 else words["segments"]
    return words["over"].format(name=said, dimensions=dimensions)


def line_name(line: Sequence[str], language: Language = "en") -> str:
    """'atm, ES'; of everything 'everything'."""
    return ", ".join(value for value in reversed(line) if value != "*") or _WORDS[language]["all"]


def with_events(text: str, names: Sequence[str], language: Language = "en") -> str:
    """The text, and which events of the calendar hold there: '...; during: Spring campaign.'"""
    if not names:
        return text
    return f"{text.removesuffix('.')}; {'during' if language == 'en' else 'während'}: {', '.join(names)}."


def length_words(seconds: int) -> str:
    """900 -> '15 min', 5400 -> '1 h 30 min', 86400 -> '24 h'."""
    hours, minutes = divmod(max(60, seconds) // 60, 60)
    return f"{hours} h {minutes} min" if hours and minutes else f"{hours} h" if hours else f"{minutes} min"


def number_words(value: float, language: Language = "en") -> str:
    """An expected count as a person says it: one decimal below 10, 'almost none' below 0.1."""
    if value < 0.1:
        return _WORDS[language]["none"]
    said = f"{value:.1f}" if value < 10 else f"{value:.0f}"
    return said.replace(".", ",") if language == "de" else said
