"""Data mode: a partition that was read far ahead, before the others were heard of, changes nothing."""

from pegel.eventlog.keys import contact_key, partition_of
from pegel.schemas.detection import CountsRecord
from support.detecting import Detection, contact


def of_partition(number: int, count: int, prefix: str) -> list[str]:
    """Event ids whose contacts belong to a partition of two."""
    found = (f"{prefix}{n}" for n in range(1000))
    return [event for event in found if partition_of(contact_key("desk", event), 2) == number][:count]


def test_what_comes_late_in_a_partition_that_is_ahead_is_late_only_once_its_bucket_was_judged() -> None:
    # partition 0:  tick 0, contacts at 0.5, tick 1.2, a late one at 0.6, tick 2.2, tick 3.2
    # partition 1:                                                                  tick 0 1.2 2.2 3.2
    def told(*, ahead: bool) -> list[tuple[str, int]]:
        d = Detection("data", partitions=2)
        held: list[list[CountsRecord]] = [[], []]
        for minute in range(4):
            for n in range(2):
                tick = d.counters[n].tick(10.0 + minute, data=minute + (0.2 if minute else 0.0))
                held[n] += [its for its in tick if isinstance(its, CountsRecord)]
            for event in of_partition(0, 3, f"m{minute}-")[: 3 if minute == 0 else 1 if minute == 1 else 0]:
                d.counters[0].put(10.0 + minute, contact(event, 0.5 if minute == 0 else 0.6))
        order = [*held[0], *held[1]] if ahead else [its for both in zip(*held, strict=True) for its in both]
        for record in order:
            d.counts_record(20.0, record)
        assert d.buckets[-1].windows_contacts == 4
        for record in d.buckets:  # up to each, windows hold no contact of a bucket that is not judged yet
            assert all(window.bucket < record.to for window in d.windows if window.origin.id < record.origin.id)
        return [(window.status, sum(window.observed)) for window in d.windows if window.additions.contacts]

    assert told(ahead=False) == [("observed", 3), ("late", 1)]
    assert told(ahead=True) == [("observed", 4)]
