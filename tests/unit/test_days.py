"""What kind of day a day is, what such days do to contacts, and what all topics of a country have in common."""

from datetime import date

import numpy as np
import pytest

from pegel.detector.judge.domain.common import LAG_STEPS, Common
from pegel.detector.judge.domain.days import (
    AFTER_HOLIDAY,
    FIRST_PAYDAY,
    HOLIDAY,
    KINDS,
    MONTH_END,
    WEEKEND_HOLIDAY,
    Calendar,
)
from pegel.detector.judge.domain.effects import DayEffects


def named(country: str, day: date, calendar: Calendar | None = None) -> set[str]:
    return {KINDS[kind] for kind in (calendar or Calendar(0)).kinds(country, day)}


class TestDays:
    def test_a_public_holiday_and_the_day_after_it(self) -> None:
        assert "holiday" in named("DE", date(2026, 5, 1))  # a Friday
        assert "holiday at the weekend" in named("DE", date(2026, 10, 3))  # a Saturday
        assert "day after a holiday" in named("DE", date(2026, 5, 15))  # after Ascension Day
        assert not {"holiday", "day after a holiday"} & named("GB", date(2026, 5, 15))

    @pytest.mark.parametrize(
        ("day", "paid"),
        [
            (date(2026, 7, 15), {"15"}),  # a Wednesday
            (date(2026, 8, 14), {"15"}),  # the Friday before Saturday the 15th
            (date(2026, 8, 15), {"15"}),  # who is not paid before is paid on the day
            (date(2026, 1, 30), {"31", "1"}),  # a Friday: the 31st and the 1st are the weekend
            (date(2026, 7, 14), set()),
        ],
    )
    def test_a_payday_on_a_free_day_is_before_it_too(self, day: date, paid: set[str]) -> None:
        assert named("XX", day) - {"month's end"} == paid

    def test_the_month_ends_on_its_last_two_days(self) -> None:
        for number, ends in ((26, False), (27, True), (28, True)):
            assert (MONTH_END in Calendar(0).kinds("ES", date(2026, 2, number))) is ends

    def test_days_of_ones_own_take_the_place_of_the_librarys(self) -> None:
        own = Calendar(0, {"ES": frozenset({date(2026, 6, 10)}), "": frozenset({date(2026, 6, 11)})})
        assert "holiday" in named("ES", date(2026, 6, 10), own)
        assert "holiday" in named("PT", date(2026, 6, 11), own)
        assert "holiday" not in named("DE", date(2026, 5, 1), own)

    def test_a_country_that_nobody_knows_has_days_of_the_month(self) -> None:
        assert named("XX", date(2026, 12, 25)) == {"25"}

    def test_without_a_country_there_is_one_place(self) -> None:
        assert Calendar(None).country(("atm",)) == Calendar(None).country(("cards",))


COUNTRIES, TOPICS = 8, 5
COUNTRY = np.repeat(np.arange(COUNTRIES), TOPICS)
TOPIC = np.tile(np.arange(TOPICS), COUNTRIES)
NORMAL = 40.0


class Month:
    """Days of 8 countries and 5 topics, 40 contacts an hour where nothing is special, drawn and learnt."""

    def __init__(self) -> None:
        self.effects = DayEffects()
        self.effects.add_segments(COUNTRIES * TOPICS)
        self.rng = np.random.default_rng(5)

    def day(self, kind: int, there: np.ndarray, factor: np.ndarray) -> None:
        kinds = np.zeros((len(KINDS), COUNTRIES * TOPICS), dtype=bool)
        kinds[kind] = there
        expected = np.full(COUNTRIES * TOPICS, NORMAL)
        for hour in range(24):
            counts = self.rng.poisson(expected * np.where(there, factor, 1.0)).astype(float)
            self.effects.learn(kinds, np.full(len(COUNTRY), hour), counts, expected, 1.0)
        self.effects.fit(TOPIC, COUNTRY)

    def on(self, kind: int, hour: int = 12) -> tuple[np.ndarray, np.ndarray]:
        kinds = np.zeros((len(KINDS), COUNTRIES * TOPICS), dtype=bool)
        kinds[kind] = True
        effect = self.effects.of(kinds, np.full(len(COUNTRY), hour))
        return effect.factor, effect.variance


class TestEffects:
    def test_before_any_was_seen_a_holiday_is_as_any_day_but_in_doubt(self) -> None:
        month = Month()
        month.effects.fit(TOPIC, COUNTRY)
        factor, variance = month.on(HOLIDAY)
        assert factor == pytest.approx(1.0)
        assert (variance > 0.1).all()

    def test_what_a_holiday_does_to_a_topic_is_lent_to_countries_that_had_none(self) -> None:
        month = Month()
        month.day(HOLIDAY, COUNTRY < 4, np.where(TOPIC == 0, 1.5, 0.6))
        factor, variance = month.on(HOLIDAY)
        for country, tolerance in ((0, 0.15), (7, 0.3)):
            assert factor[(country == COUNTRY) & (TOPIC == 0)] == pytest.approx(1.5, rel=tolerance)
            assert factor[(country == COUNTRY) & (TOPIC == 3)] == pytest.approx(0.6, rel=tolerance)
        assert variance[COUNTRY == 7].min() > variance[COUNTRY == 0].max() / 2

    def test_a_holiday_at_the_weekend_changes_less(self) -> None:
        month = Month()
        month.day(HOLIDAY, COUNTRY >= 0, np.full(len(COUNTRY), 0.5))
        month.effects.fit(TOPIC, COUNTRY)
        assert 0.7 < month.on(WEEKEND_HOLIDAY)[0].mean() < 0.9
        assert month.on(AFTER_HOLIDAY)[0] == pytest.approx(1.0)

    def test_a_payday_is_one_only_where_people_are_paid(self) -> None:
        month = Month()
        rise = np.where(TOPIC == 1, 1.6, 1.0)
        for _ in range(2):
            month.day(FIRST_PAYDAY + 3, COUNTRY >= 0, np.where(COUNTRY < 4, rise, 1.0))
            month.day(FIRST_PAYDAY, COUNTRY >= 0, np.ones(len(COUNTRY)))
        fifteenth, first = month.on(FIRST_PAYDAY + 3)[0], month.on(FIRST_PAYDAY)[0]
        assert (fifteenth[(COUNTRY < 4) & (TOPIC == 1)] > 1.4).all()
        assert fifteenth[(COUNTRY >= 4) & (TOPIC == 1)] == pytest.approx(1.0, abs=0.15)
        assert fifteenth[TOPIC == 2] == pytest.approx(1.0, abs=0.15)
        assert first == pytest.approx(1.0, abs=0.15)

    def test_a_day_on_which_people_are_paid_never_brings_fewer(self) -> None:
        month = Month()
        month.day(FIRST_PAYDAY, COUNTRY >= 0, np.full(len(COUNTRY), 0.1))  # New Year's Day
        assert (month.on(FIRST_PAYDAY)[0] >= 1.0).all()

    def test_one_holiday_is_not_all_holidays(self) -> None:
        month = Month()
        month.day(HOLIDAY, COUNTRY == 0, np.full(len(COUNTRY), 0.3))
        once = month.on(HOLIDAY)[0][COUNTRY == 0].mean()
        for _ in range(6):
            month.day(HOLIDAY, COUNTRY == 0, np.full(len(COUNTRY), 0.3))
        often = month.on(HOLIDAY)[0][COUNTRY == 0].mean()
        assert 0.3 < often < once - 0.1 < 0.6

    def test_one_that_was_restored_says_the_same(self) -> None:
        month, again = Month(), DayEffects()
        month.day(HOLIDAY, COUNTRY < 4, np.full(len(COUNTRY), 0.6))
        again.add_segments(COUNTRIES * TOPICS)
        again.restore(month.effects.state())
        before = month.on(HOLIDAY)
        month.effects = again
        assert (month.on(HOLIDAY)[0] == before[0]).all()
        with pytest.raises(ValueError, match="other rules"):
            DayEffects().restore(again.state())


class TestCommon:
    def run(self, factor: np.ndarray, steps: int) -> tuple[Common, np.ndarray]:
        common, expected = Common(), np.full(len(COUNTRY), 20.0)
        common.widen(COUNTRIES)
        for _ in range(steps):
            common.note(expected * factor, expected, COUNTRY)
        return common, COUNTRY

    def test_a_good_day_of_a_country_is_believed_within_hours(self) -> None:
        common, countries = self.run(np.where(COUNTRY == 2, 1.25, 1.0), 48)
        assert common.now(countries)[COUNTRY == 2] == pytest.approx(1.22, abs=0.03)
        assert common.now(countries)[COUNTRY != 2] == pytest.approx(1.0)

    def test_the_trouble_of_one_topic_is_not_the_countrys(self) -> None:
        common, countries = self.run(np.where((COUNTRY == 2) & (TOPIC == 0), 8.0, 1.0), 48)
        assert common.now(countries).max() < 1.2

    def test_the_countrys_own_roll_up_believes_it_an_hour_and_a_half_later(self) -> None:
        common, countries = self.run(np.full(len(COUNTRY), 1.25), LAG_STEPS - 1)
        assert (common.then(countries) == 1.0).all()
        assert (common.now(countries) > 1.15).all()

    def test_a_bad_day_is_hardly_believed(self) -> None:
        common, countries = self.run(np.full(len(COUNTRY), 0.6), 48)
        assert common.now(countries) == pytest.approx(0.95)

    def test_a_country_of_few_segments_has_no_day_of_its_own(self) -> None:
        common, countries = Common(), np.array([0, 0, 0])
        common.widen(1)
        for _ in range(48):
            common.note(np.full(3, 30.0), np.full(3, 20.0), countries)
        assert (common.now(countries) == 1.0).all()
