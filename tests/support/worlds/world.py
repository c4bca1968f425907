"""A world: the contacts of countries and topics over weeks, all that caused them, and the incidents among them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import numpy as np

from support.worlds import effects
from support.worlds.calendar import Clock, Days, clock, days, draw_payday_rules, draw_start
from support.worlds.incidents import Label, members, place
from support.worlds.lives import draw_lives
from support.worlds.options import (
    BUCKET_SECONDS,
    HOUR,
    WEEK,
    Bytes,
    Country,
    Counts,
    Floats,
    Ints,
    Options,
    Singles,
    stream,
)
from support.worlds.rates import batch, slow_noise, weekly_profile

CLOCK_WEEK: Final = 1
HOLIDAY: Final = 2
PAYDAY: Final = 4
COUNTRY_DAY: Final = 8
"""Bits of `World.marks`: the week after a clock change, a holiday or the day after it, a payday or month's end, and a
good or bad day of the country."""


@dataclass(frozen=True)
class World:
    """S segments (C countries x K topics) over T buckets."""

    seed: int
    start: datetime
    """UTC, of bucket 0."""
    bucket_seconds: int
    history: int
    """Buckets before the evaluated ones."""
    countries: tuple[Country, ...]
    topics: tuple[str, ...]
    country: Ints
    """[S] index into countries."""
    topic: Ints
    """[S] index into topics."""
    counts: Counts
    """[S,T] contacts observed."""
    extra: Counts
    """[S,T] those of them that incidents brought."""
    mu: Singles
    """[S,T] the true rate in contacts a bucket, without incidents."""
    mu_det: Singles
    """[S,T] the same without what nobody can know: slow noise, good and bad days."""
    r: Singles
    """[S] size of the negative binomial of five minutes: Var = m + m^2 / r."""
    marks: Bytes
    """[C,T] what a bucket is in a country, in bits: CLOCK_WEEK, HOLIDAY, PAYDAY, COUNTRY_DAY."""
    country_day: Singles
    """[C,T] log of the factor of good and bad days."""
    born_at: Ints
    """[S] first bucket with contacts, 0 if always."""
    retired_at: Ints
    """[S] first bucket without, T if never."""
    step_at: Ints
    """[S] bucket of a new normal, -1 if none."""
    labels: tuple[Label, ...]


def make(seed: int, options: Options | None = None) -> World:
    """The world of this seed, in buckets of five minutes."""
    options = options or Options()
    start = options.start or draw_start(seed, options.weeks, options.history_weeks)
    countries, topics = len(options.countries), len(options.topics)
    country, topic = np.repeat(np.arange(countries), topics), np.tile(np.arange(topics), countries)
    clocks = [clock(c.zone, start, options.buckets, follow_changes=options.clock_changes) for c in options.countries]
    pay = stream(seed, "payday rules")
    calendar = [
        days(c.code, local.dates, draw_payday_rules(pay)) for c, local in zip(options.countries, clocks, strict=True)
    ]
    lives = draw_lives(seed, options, clocks)
    mu_det = _rhythm(seed, options, clocks) * lives.factor
    _apply_calendar(seed, options, clocks, calendar, mu_det)
    country_day = np.zeros((countries, options.buckets))
    if options.country_days:
        rng = stream(seed, "country days")
        country_day = np.stack([effects.country_day_log(rng, local) for local in clocks])
    mu = _with_the_unknowable(seed, options, mu_det, country_day, country)

    alive = lives.factor > 0
    labels, lift = place(seed, options, mu, alive)
    rng = stream(seed, "counts")
    r = np.exp(stream(seed, "dispersion").uniform(np.log(4), np.log(60), len(country))).astype(np.float32)
    drawn = mu * rng.gamma(r[:, None], 1 / r[:, None], mu.shape)
    extra = rng.poisson(drawn * lift)
    counts = rng.poisson(drawn) + extra
    return World(
        seed=seed,
        start=start,
        bucket_seconds=BUCKET_SECONDS,
        history=options.history,
        countries=options.countries,
        topics=options.topics,
        country=country,
        topic=topic,
        counts=_narrow(counts, int(counts.max())),
        extra=_narrow(extra, int(counts.max())),
        mu=mu.astype(np.float32),
        mu_det=mu_det.astype(np.float32),
        r=r,
        marks=_marks(options, clocks, calendar, country_day),
        country_day=country_day.astype(np.float32),
        born_at=lives.born_at,
        retired_at=lives.retired_at,
        step_at=lives.step_at,
        labels=tuple(_with_excess(label, extra, country, topic) for label in labels),
    )


def _narrow(counts: Ints, highest: int) -> Counts:
    """The counts in two bytes each, or four where the highest needs it."""
    return counts.astype(np.uint16) if highest < 1 << 16 else counts.astype(np.uint32)


def _with_excess(label: Label, extra: Ints, country: Ints, topic: Ints) -> Label:
    return replace(label, excess=int(extra[members(label, country, topic), label.onset : label.end].sum()))


def _rhythm(seed: int, options: Options, clocks: Sequence[Clock]) -> Floats:
    """[S,T] size, weekly profile in local time, growth and nightly batches of each segment."""
    rng, jobs = stream(seed, "rhythm"), stream(seed, "batches")
    topics = len(options.topics)
    segments = len(options.countries) * topics
    base = np.exp(rng.uniform(np.log(0.05), np.log(100), segments))
    growth = rng.uniform(-0.01, 0.03, segments)
    weeks = np.arange(options.buckets) / WEEK
    mu = np.empty((segments, options.buckets))
    for segment in range(segments):
        local = clocks[segment // topics]
        mu[segment] = base[segment] * weekly_profile(rng)[local.week_bucket] * (1 + growth[segment]) ** weeks
        if options.batches and jobs.random() < 0.12:
            mu[segment] *= batch(jobs, local.day_bucket)
    return mu


def _apply_calendar(seed: int, options: Options, clocks: Sequence[Clock], calendar: Sequence[Days], mu: Floats) -> None:
    """Multiply the rates [S,T] by what holidays, paydays and month's ends do."""
    answers = effects.draw_answers(seed, options.topics)
    topics = len(options.topics)
    holiday, payday, month = stream(seed, "holidays"), stream(seed, "paydays"), stream(seed, "month ends")
    for number, (local, dated) in enumerate(zip(clocks, calendar, strict=True)):
        rows = slice(number * topics, (number + 1) * topics)
        if options.holidays:
            mu[rows] *= effects.holiday_factor(holiday, answers, dated)[:, local.day]
        if options.month_ends:
            mu[rows] *= effects.month_end_factor(month, answers, dated)[:, local.day]
        if options.paydays:
            mu[rows] *= effects.payday_factor(payday, answers, dated, local)


def _with_the_unknowable(seed: int, options: Options, mu_det: Floats, country_day: Floats, country: Ints) -> Floats:
    """[S,T] the rates with good and bad days of countries [C,T], for each topic a little different, and slow noise."""
    segments = len(country)
    answer: Floats = stream(seed, "country days by topic").normal(1, 0.15, (segments, 1))
    log = country_day[country] * answer
    if options.noise:
        rng = stream(seed, "slow noise")
        sd: Floats = rng.uniform(0.03, 0.12, segments)
        tau: Floats = np.exp(rng.uniform(np.log(2 * HOUR), np.log(10 * HOUR), segments))
        log += slow_noise(rng, sd, tau, options.buckets)
        number = len(country_day)
        log += slow_noise(rng, np.full(number, 0.03), np.full(number, 6.0 * HOUR), options.buckets)[country]
    return np.asarray(mu_det * np.exp(log))


def _marks(options: Options, clocks: Sequence[Clock], calendar: Sequence[Days], country_day: Floats) -> Bytes:
    """[C,T] the bits of what each bucket is, of the causes that the world has."""
    marks = np.zeros(country_day.shape, np.uint8)
    for row, (local, dated) in enumerate(zip(clocks, calendar, strict=True)):
        for change in local.changes:
            marks[row, change : change + WEEK] |= CLOCK_WEEK
        if options.holidays:
            marks[row, (dated.holiday | dated.after_holiday)[local.day]] |= HOLIDAY
        if options.paydays:
            marks[row, dated.payday[local.day]] |= PAYDAY
        if options.month_ends:
            marks[row, dated.month_end[local.day]] |= PAYDAY
    marks[country_day != 0] |= COUNTRY_DAY
    return marks


def in_minutes(world: World) -> World:
    """The same world in buckets of one minute: each contact of five minutes falls into any of them alike.

    The minutes of one five share their over-dispersion, so `r` stays that of five minutes.
    """
    rng = stream(world.seed, "minutes")
    parts = world.bucket_seconds // 60
    base = _spread(rng, world.counts - world.extra, parts)
    extra = _spread(rng, world.extra, parts)
    return replace(
        world,
        bucket_seconds=60,
        history=world.history * parts,
        counts=base + extra,
        extra=extra,
        mu=np.repeat(world.mu / parts, parts, axis=1).astype(np.float32),
        mu_det=np.repeat(world.mu_det / parts, parts, axis=1).astype(np.float32),
        marks=np.repeat(world.marks, parts, axis=1),
        country_day=np.repeat(world.country_day, parts, axis=1),
        born_at=world.born_at * parts,
        retired_at=world.retired_at * parts,
        step_at=np.where(world.step_at < 0, -1, world.step_at * parts),
        labels=tuple(replace(x, onset=x.onset * parts, end=x.end * parts) for x in world.labels),
    )


def _spread(rng: np.random.Generator, counts: Counts, parts: int) -> Counts:
    """[S,T*parts] the counts [S,T] dealt out at random over the parts of their buckets."""
    dealt = np.zeros((counts.size, parts), counts.dtype)
    some = np.flatnonzero(counts)
    dealt[some] = rng.multinomial(counts.ravel()[some], np.full(parts, 1 / parts))
    return dealt.reshape(counts.shape[0], -1)


def bucket_time(world: World, bucket: int) -> datetime:
    """When a bucket begins, UTC."""
    return datetime.fromtimestamp(world.start.timestamp() + bucket * world.bucket_seconds, UTC)
