"""Worlds for judging detection: what is promised to be in them is in them."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

from support.worlds.calendar import clock, days, draw_start
from support.worlds.files import csv_path, read_scores, read_world, write_arrays, write_contacts
from support.worlds.incidents import members, place
from support.worlds.options import COUNTRIES, DAY, HOUR, WEEK, Country, Incidents, Options, plain
from support.worlds.world import (
    CLOCK_WEEK,
    COUNTRY_DAY,
    HOLIDAY,
    PAYDAY,
    World,
    bucket_time,
    in_minutes,
    make,
)

SPAIN = Country("ES", "Europe/Madrid")
SMALL = Options(
    weeks=5,
    history_weeks=2,
    countries=(SPAIN, Country("US", "America/New_York")),
    topics=("atm", "cards", "loan", "fees"),
    incidents=Incidents(spikes=6, burns=2, topic_wide=1, country_wide=1),
)
BARE = replace(
    plain(),
    weeks=4,
    history_weeks=1,
    countries=(SPAIN,),
    topics=("atm", "cards", "loan", "fees"),
    start=datetime(2024, 10, 14, tzinfo=UTC),
    incidents=Incidents(0, 0, 0, 0),
    ramps=False,
    batches=False,
    noise=False,
)
"""Rhythm and growth only, around the end of summer time in Spain on 27 October 2024."""


@pytest.fixture(scope="module")
def small() -> World:
    return make(7, SMALL)


def test_a_seed_makes_one_world(small: World) -> None:
    again, other = make(7, SMALL), make(8, SMALL)
    for name, value in vars(small).items():
        assert np.array_equal(value, getattr(again, name)), name
    assert not np.array_equal(small.counts, other.counts)


def test_leaving_out_a_cause_changes_no_other(small: World) -> None:
    without = make(7, replace(SMALL, holidays=False, paydays=False, month_ends=False))
    alive = small.mu_det > 0
    noise = small.mu[alive] / small.mu_det[alive]
    assert np.allclose(noise, without.mu[alive] / without.mu_det[alive], rtol=1e-4)
    assert not np.allclose(small.mu_det, without.mu_det)


def test_half_of_the_worlds_have_a_clock_change_in_the_evaluated_weeks() -> None:
    def changes(start: datetime) -> bool:
        first, last = start + timedelta(weeks=4), start + timedelta(weeks=9)
        return any(
            first.astimezone(zone).utcoffset() != last.astimezone(zone).utcoffset()
            for zone in (ZoneInfo(country.zone) for country in COUNTRIES)
        )

    starts = [draw_start(seed, weeks=10, history_weeks=4) for seed in range(60)]
    assert all(start.weekday() == 0 and 2023 <= start.year <= 2026 for start in starts)
    assert 20 <= sum(changes(start) for start in starts) <= 40


def test_rhythm_follows_local_time_through_a_clock_change() -> None:
    #        20 Oct         27 Oct 01:00 UTC        3 Nov
    # UTC     |--- UTC+2 -------|------- UTC+1 -------|      what came at 10:00 UTC comes at 11:00 UTC
    week_before = slice(9 * DAY, 11 * DAY)  # Wednesday and Thursday
    hour_later = slice(9 * DAY + 2 * WEEK + HOUR, 11 * DAY + 2 * WEEK + HOUR)
    same_hour = slice(9 * DAY + 2 * WEEK, 11 * DAY + 2 * WEEK)

    def growth(world: World, later: slice) -> float:
        """How far the change over two weeks is from the same at all hours."""
        ratio = world.mu_det[:, later] / world.mu_det[:, week_before]
        return float((ratio.max(axis=1) / ratio.min(axis=1)).max())

    following = make(3, replace(BARE, clock_changes=True))
    assert growth(following, hour_later) == pytest.approx(1, abs=1e-3)
    assert growth(following, same_hour) > 1.1
    assert growth(make(3, BARE), same_hour) == pytest.approx(1, abs=1e-3)
    change = int((datetime(2024, 10, 27, 1, tzinfo=UTC) - following.start).total_seconds()) // 300
    assert np.flatnonzero(following.marks[0] & CLOCK_WEEK).tolist() == list(range(change, change + WEEK))


def test_a_holiday_lasts_a_local_day_and_each_topic_answers_in_its_own_way() -> None:
    # All Saints, Friday 1 November 2024: in Madrid (UTC+1) from 31 October 23:00 UTC for 24 hours.
    begin = int((datetime(2024, 10, 31, 23, tzinfo=UTC) - datetime(2024, 10, 14, tzinfo=UTC)).total_seconds()) // 300
    with_it = make(3, replace(BARE, clock_changes=True, holidays=True))
    factor = with_it.mu_det / make(3, replace(BARE, clock_changes=True)).mu_det
    assert np.allclose(factor[:, begin - DAY : begin], 1)
    on_it = factor[:, begin : begin + DAY]
    assert np.allclose(on_it, on_it[:, :1], rtol=1e-4)
    assert on_it[0, 0] > 1.15  # more cash
    assert np.ptp(on_it[:, 0]) > 0.3
    after = factor[:, begin + DAY : begin + 2 * DAY]
    assert (np.abs(np.log(after)) < np.abs(np.log(on_it))).all()
    assert not np.allclose(after, 1, atol=0.01)
    assert (with_it.marks[0, begin : begin + 2 * DAY] & HOLIDAY).all()


def test_paydays_come_on_the_working_day_before_a_free_day() -> None:
    # 1 June and 15 June 2024 are Saturdays, 1 January 2025 a holiday, 30 June 2024 a Sunday.
    june = [date(2024, 5, 31) + timedelta(days=d) for d in range(31)]
    paid = days("ES", june, ("1", "15", "last")).payday
    assert [d for d, is_payday in zip(june, paid, strict=True) if is_payday] == [
        date(2024, 5, 31),
        date(2024, 6, 14),
        date(2024, 6, 28),
    ]
    december = [date(2024, 12, 29) + timedelta(days=d) for d in range(3)]
    end = days("ES", december, ("1",))
    assert end.payday.tolist() == [False, False, True]
    assert end.month_end.tolist() == [False, True, True]


def test_paydays_raise_some_topics_for_some_hours() -> None:
    factor = make(3, replace(BARE, paydays=True)).mu_det / make(3, BARE).mu_det
    assert factor.min() == pytest.approx(1, abs=1e-4)
    assert 1.1 < factor.max() < 2
    paid = (make(3, replace(BARE, paydays=True)).marks[0] & PAYDAY) > 0
    assert (factor[:, ~paid] < 1.001).all()


def test_local_days_of_a_clock_change_have_23_or_25_hours() -> None:
    local = clock("Europe/Madrid", datetime(2024, 10, 26, tzinfo=UTC), 4 * DAY)
    assert np.bincount(local.day)[1] == 25 * HOUR
    assert local.dates[1] == date(2024, 10, 27)
    assert local.week_bucket[0] == 5 * DAY + 2 * HOUR  # Saturday 02:00


def test_good_and_bad_days_are_few_and_begin_softly() -> None:
    world = make(5, replace(BARE, weeks=10, history_weeks=4, countries=COUNTRIES, topics=("atm",), country_days=True))
    special = world.country_day != 0
    assert 0.04 < special.mean() < 0.14
    assert np.array_equal(special, (world.marks & COUNTRY_DAY) > 0)
    assert np.abs(np.diff(world.country_day, axis=1)).max() < 0.05
    assert 0.05 < np.abs(world.country_day).max() < 1


def test_incidents_lie_apart_in_the_evaluated_weeks_on_segments_that_live(small: World) -> None:
    assert {label.kind for label in small.labels} == {"spike", "burn", "topic", "country"}
    for segment in range(len(small.country)):
        touching = [x for x in small.labels if segment in members(x, small.country, small.topic)]
        for before, after in pairwise(touching):
            assert before.end + DAY <= after.onset
        for label in touching:
            assert small.history < label.onset < label.end <= small.counts.shape[1]
            if label.kind in {"spike", "burn"}:
                assert (small.mu[segment, label.onset : label.end] > 0).all()


def test_an_incident_of_a_whole_topic_adds_nothing_where_the_topic_does_not_live_all_the_while() -> None:
    options = replace(BARE, countries=COUNTRIES[:4], incidents=Incidents(0, 0, topic_wide=4, country_wide=0))
    alive = np.ones((16, options.buckets), bool)
    alive[0, ::HOUR] = False  # topic 0 in country 0 comes and goes
    alive[[1, 5, 9]] = False  # topic 1 lives in a quarter of the countries
    labels, lift = place(1, options, np.full(alive.shape, 5.0), alive)
    assert {0} < {label.topic for label in labels}
    assert 1 not in {label.topic for label in labels}
    assert not lift[0].any()
    assert lift[4].any()


def test_the_excess_is_that_of_the_labels(small: World) -> None:
    left = small.extra.astype(np.int64)
    assert (small.extra <= small.counts).all()
    for label in small.labels:
        rows = members(label, small.country, small.topic)
        assert left[rows, label.onset : label.end].sum() == label.excess > 0
        assert label.excess == pytest.approx(label.expected_excess, rel=0.6, abs=12)
        left[rows, label.onset : label.end] = 0
    assert not left.any()


def test_nothing_comes_before_a_birth_or_after_a_retirement() -> None:
    world = make(11, SMALL)
    born, retired = np.flatnonzero(world.born_at), np.flatnonzero(world.retired_at < world.counts.shape[1])
    assert len(born) > 0
    assert len(retired) > 0
    for segment in born:
        assert not world.counts[segment, : world.born_at[segment]].any()
        assert world.mu[segment, world.born_at[segment]] > 0
    for segment in retired:
        assert not world.counts[segment, world.retired_at[segment] :].any()
        assert world.mu[segment, world.retired_at[segment] - 1] > 0


def test_a_new_normal_comes_overnight_and_stays() -> None:
    many = replace(BARE, clock_changes=True, steps=True, topics=tuple(f"t{n}" for n in range(40)))
    world = make(3, many)
    factor = world.mu_det / make(3, replace(many, steps=False)).mu_det
    stepped = np.flatnonzero(world.step_at >= 0)
    assert len(stepped) == 2
    for segment in stepped:
        at = world.step_at[segment]
        assert np.allclose(factor[segment, :at], 1)
        assert np.allclose(factor[segment, at:], factor[segment, at], rtol=1e-4)
        assert 0.5 <= factor[segment, at] <= 2.5
        assert bucket_time(world, int(at)).astimezone(ZoneInfo(SPAIN.zone)).hour < 5


def test_a_plain_world_has_no_calendar() -> None:
    world = make(7, plain(SMALL))
    assert not world.marks.any()
    assert not world.born_at.any()


def test_minutes_add_up_to_five(small: World) -> None:
    minutes = in_minutes(small)
    for name in ("counts", "extra", "mu"):
        parts = getattr(minutes, name).reshape(len(small.country), -1, 5)
        assert np.allclose(parts.sum(axis=2), getattr(small, name), rtol=1e-5)
    assert (minutes.extra <= minutes.counts).all()
    assert np.array_equal(minutes.counts, in_minutes(small).counts)
    # Not all in the first, not each alike.
    by_minute = minutes.counts.reshape(-1, 5).sum(axis=0)
    assert np.ptp(by_minute) < 0.05 * by_minute.mean()
    last = small.labels[-1]
    assert bucket_time(minutes, minutes.labels[-1].onset) == bucket_time(small, last.onset)


def test_files_hold_the_world(small: World, tmp_path: Path) -> None:
    write_arrays(small, tmp_path)
    again = read_world(tmp_path, 7)
    for name, value in vars(small).items():
        assert np.array_equal(value, getattr(again, name)), name
    with np.load(tmp_path / "world_7.npz") as arrays:
        assert arrays["start"] == small.start.timestamp()
        assert arrays["country_codes"].tolist() == ["ES", "US"]
    assert (
        "ES,*" in (tmp_path / "world_7_labels.csv").read_text()
        or "US,*" in (tmp_path / "world_7_labels.csv").read_text()
    )

    write_contacts(small, tmp_path)
    rows = pl.read_csv(csv_path(tmp_path, 7))
    assert rows.columns == ["bucket_start", "country", "topic", "count"]
    assert rows["count"].sum() == small.counts.sum()
    assert rows["count"].min() == 1
    assert rows["bucket_start"].is_sorted()
    bucket = 3 * DAY + 9 * HOUR
    when = bucket_time(small, bucket).strftime("%Y-%m-%dT%H:%M:%SZ")
    cards = rows.filter((pl.col("bucket_start") == when) & (pl.col("country") == "US") & (pl.col("topic") == "cards"))
    assert cards["count"].sum() == small.counts[5, bucket]


def test_scores_are_read_by_stream_and_bucket(small: World, tmp_path: Path) -> None:
    first = bucket_time(small, small.history)
    texts = {
        "ES,loan": (first, 1.5),  # segment 2
        "*,cards": (first + timedelta(minutes=10), 2.5),  # topic 1: stream 8 + 1
        "US,*": (first + timedelta(minutes=5), 3.5),  # country 1: stream 8 + 4 + 1
        "*,*": (first, 9.0),
        "ES,atm": (first - timedelta(minutes=5), 9.0),  # still history
    }
    lines = [f"{when:%Y-%m-%dT%H:%M:%SZ},{names},0,{score}\n" for names, (when, score) in texts.items()]
    path = tmp_path / "scores.csv"
    lines.append(f"{first:%Y-%m-%dT%H:%M:%SZ},ES,fees,0,\n")  # no opinion
    path.write_text("bucket_start,country,topic,observed,score\n" + "".join(lines))
    scores = read_scores(path, small)
    assert scores.shape == (8 + 4 + 2, 3 * WEEK)
    found = {(int(row), int(at)): float(scores[row, at]) for row, at in np.argwhere(np.isfinite(scores))}
    assert found == {(2, 0): 1.5, (9, 2): 2.5, (13, 1): 3.5}
