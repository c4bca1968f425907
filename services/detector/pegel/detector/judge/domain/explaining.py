"""What is said of a spike, made from its fields alone: how rare, growing or falling, who carries it; in en and de."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Final, Literal

from scipy.stats import binom

from pegel.detector.judge.domain.spikes import Spike

Trend = Literal["growing", "steady", "falling"]
TREND_SECONDS: Final = 900
TREND_LEVEL: Final = 0.05
BAND: Final = 1.96
RARITY_FACTOR: Final = 3.0
"""Nothing is called rarer than so many times the history it was learnt from."""
CARRIERS: Final = 2
"""So many are named in the text."""


@dataclass(frozen=True, slots=True)
class Carrier:
    """What carries the excess: a value of a dimension, and its share; the shares of a dimension add up to 1."""

    dimension: str
    value: str
    share: float


@dataclass(frozen=True, slots=True)
class Facts:
    """Of a spike, beside its counts."""

    lower: float
    upper: float
    rarity_weeks: float
    trend: Trend
    carriers: tuple[Carrier, ...] = ()


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


def carried(dimension: str, excess: Sequence[tuple[str, float]]) -> tuple[Carrier, ...]:
    """Shares of what lies above its expectation, largest first; they add up to 1. Empty where nothing does."""
    above = [(value, amount) for value, amount in excess if amount > 0]
    total = sum(amount for _, amount in above)
    ranked = sorted(above, key=lambda one: (-one[1], one[0]))
    return tuple(Carrier(dimension, value, amount / total) for value, amount in ranked) if total > 0 else ()


Language = Literal["en", "de"]
_WORDS: Final[dict[Language, dict[str, str]]] = {
    "en": {
        "first": "{name}: {observed} contacts in {length}, {expected} expected{times}. ",
        "times": ", {times:.0f} times as many as usual",
        "second": "Up for {minutes}, {trend}: {since} contacts so far, {usual} expected{carriers}; {rarity}.",
        "carriers": "; most of it {values}",
        "growing": "growing",
        "steady": "steady",
        "falling": "falling",
        "none": "almost none",
        "rarity": "by chance about once in {weeks} weeks here",
        "often": "by chance about once a week here",
        "day": "h",
    },
    "de": {
        "first": "{name}: {observed} Kontakte in {length}, erwartet {expected}{times}. ",
        "times": ", {times:.0f}-mal so viele wie sonst",
        "second": "Seit {minutes}, {trend}: bisher {since} Kontakte, erwartet {usual}{carriers}; {rarity}.",
        "carriers": "; das meiste davon {values}",
        "growing": "steigend",
        "steady": "gleichbleibend",
        "falling": "fallend",
        "none": "fast keine",
        "rarity": "durch Zufall hier etwa einmal in {weeks} Wochen",
        "often": "durch Zufall hier etwa einmal in der Woche",
        "day": "h",
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
    largest = [carrier for carrier in facts.carriers if carrier.share >= 0.1][:CARRIERS]
    weeks = round(facts.rarity_weeks)
    return words["first"].format(
        name=name,
        observed=spike.window_observed,
        length=length_words(spike.window_seconds),
        expected=number_words(usual, language),
        times=times,
    ) + words["second"].format(
        minutes=length_words(max(60, end - spike.onset)),
        trend=words[facts.trend],
        since=spike.observed,
        usual=number_words(spike.expected, language),
        carriers=words["carriers"].format(values=", ".join(f"{c.value} {c.share:.0%}" for c in largest))
        if largest
        else "",
        rarity=words["rarity"].format(weeks=weeks) if weeks > 1 else words["often"],
    )


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
