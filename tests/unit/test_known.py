"""What is remembered of identities: exact, amendable, and the same however it is sealed, merged, saved and restored."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pegel.detector import state
from pegel.detector.counter.domain import known
from pegel.detector.counter.domain.known import Known

Entry = tuple[int, int, int]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits at which some dozen identities are sealed, merged and expire."""
    monkeypatch.setattr(known, "OPEN_MAX", 4)
    monkeypatch.setattr(known, "RUN_MAX", 64)
    monkeypatch.setattr(known, "SPAN_HOURS", 6)
    monkeypatch.setattr(known, "BLOCK", 5)


def identity(number: int) -> bytes:
    return number.to_bytes(16, "little")


def entry(k: Known, number: int, cutoff: int = 0) -> tuple[int, int] | None:
    found = k.open.get(identity(number)) or k.find([identity(number)]).get(identity(number))
    return None if found is None or found[2] < cutoff else (found[0], found[1])


def filled(count: int, hour: int = 0, k: Known | None = None, first: int = 0) -> Known:
    """Identities of these numbers, each remembered as (number, number)."""
    k = Known() if k is None else k
    for number in range(first, first + count):
        k.open[identity(number)] = (number, number, hour)
        k.settle(hour, 0)
    return k


@pytest.mark.usefixtures("small")
def test_what_is_sealed_and_merged_is_found_and_nothing_else() -> None:
    k = filled(200)
    assert 1 < len(k.runs) < 12
    assert all(entry(k, number) == (number, number) for number in range(200))
    assert all(entry(k, number) is None for number in range(200, 300))
    assert len(k) == 200


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("low_first", [True, False])
def test_identities_that_share_a_half_are_told_apart(low_first: bool) -> None:
    # Nothing makes a key random: another writer's may begin, or end, all alike.
    def key(n: int) -> bytes:
        halves = (b"the same", n.to_bytes(8, "big"))
        return b"".join(halves if low_first else halves[::-1])

    k = Known()
    for n in (each * 38 % 100 for each in range(50)):  # the even ones, in no order
        k.open[key(n)] = (n, 0, 0)
        k.settle(0, 0)
    found = k.find([key(n) for n in range(100)])
    assert {e: place.fact for e, place in found.items()} | {e: v[0] for e, v in k.open.items()} == {
        key(n): n for n in range(0, 100, 2)
    }


@pytest.mark.usefixtures("small")
def test_what_is_amended_in_a_run_is_seen_by_the_same_look_up_and_by_the_next() -> None:
    k = filled(30)
    found = k.find([identity(3), identity(4)])
    k.amend(identity(3), found, 1 << 62, 7)
    assert found[identity(3)][:3] == (1 << 62, 7, 0)
    assert (entry(k, 3), entry(k, 4)) == ((1 << 62, 7), (4, 4))


@pytest.mark.usefixtures("small")
def test_a_saved_state_does_not_change_with_what_comes_after() -> None:
    k = filled(30)
    saved = k.state()
    for number in (0, 29):  # one of a run, and one that is still open
        k.amend(identity(number), k.find([identity(number)]), 99, 99)
    restored = Known.restored(state.decode(state.encode(saved)))
    assert (entry(restored, 0), entry(restored, 29)) == ((0, 0), (29, 29))
    assert (entry(k, 0), entry(k, 29)) == ((99, 99), (99, 99))
    restored.amend(identity(0), restored.find([identity(0)]), 5, 5)
    assert entry(restored, 0) == (5, 5)


@pytest.mark.usefixtures("small")
def test_what_has_expired_takes_no_memory() -> None:
    k = Known()
    for hour in range(100):
        filled(10, hour, k, first=10 * hour)
        k.settle(hour, hour - 8)
    assert len(k) <= 9 * 10 + known.OPEN_MAX
    assert all(entry(k, number) == (number, number) for number in range(920, 1000))


@pytest.mark.usefixtures("small")
def test_hours_that_lie_far_apart_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    # hours 0, 90, 180 ...: three fit into a run, whose hours are bytes
    monkeypatch.setattr(known, "SPAN_HOURS", 240)
    k = Known()
    for number in range(64):
        k.open[identity(number)] = (number, 0, 90 * number)
        k.settle(90 * number, 0)
    found = k.find([identity(number) for number in range(64)])
    assert all(found[identity(number)].hour == 90 * number for number in range(64) if identity(number) not in k.open)
    assert len(found) > 50


def test_an_event_takes_29_bytes_of_arrays() -> None:
    k = Known()
    rng = np.random.default_rng(5)
    for first in range(0, 300_000, 10_000):
        keys = rng.bytes(160_000)
        k.open.update({keys[16 * n : 16 * n + 16]: (n, n, 0) for n in range(10_000)})
        k.settle(first // 40_000, 0)
    size = sum(array.nbytes for run in k.state()["runs"] for array in run.values() if isinstance(array, np.ndarray))
    assert size == 29 * (len(k) - len(k.open))
    assert len(k.open) < known.OPEN_MAX


steps = st.lists(
    st.tuples(
        st.sampled_from(["note", "note", "note", "amend", "hour", "settle", "restore"]),
        st.integers(0, 40),
        st.integers(0, 2**62),
    ),
    max_size=150,
)


@given(steps, st.integers(1, 20))
@settings(deadline=None, max_examples=150)
def test_it_knows_what_a_dict_would_know(story: list[tuple[str, int, int]], horizon: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"OPEN_MAX": 3, "RUN_MAX": 30, "FAN": 2, "SPAN_HOURS": 5, "BLOCK": 4}.items():
            patch.setattr(known, name, value)
        k, plain, hour = Known(), dict[int, Entry](), 0
        for what, number, value in story:
            cutoff = max(0, hour - horizon)
            expected = plain.get(number)
            expected = None if expected is None or expected[2] < cutoff else expected
            assert entry(k, number, cutoff) == (None if expected is None else expected[:2])
            match what:
                case "note" if expected is None:
                    k.open[identity(number)] = plain[number] = (value, number, hour)
                case "amend" if expected is not None:
                    k.amend(identity(number), k.find([identity(number)]), value, 1)
                    plain[number] = (value, 1, expected[2])
                case "hour":
                    hour += number % 9
                case "settle":
                    k.settle(hour, cutoff)
                case "restore":
                    k = Known.restored(state.decode(state.encode(k.state())))
        kept = [e for e in plain.values() if e[2] >= hour - horizon]
        k.settle(hour, max(0, hour - horizon))
        assert len(kept) <= len(k) <= len(kept) + len(k.open)
