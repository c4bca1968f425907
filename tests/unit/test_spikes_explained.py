"""Spikes explain themselves: stories from contacts to what is said of them. Minutes are after the log was made."""

import random
from copy import deepcopy
from functools import cache
from itertools import count, cycle
from uuid import UUID

import pytest

from pegel.detector.state import encode
from pegel.schemas.detection import HistoryEndRecord, HistoryRecord, SpikeRecord
from support.detecting import Detection, at, contact

HISTORY = str(UUID(int=1))
USUAL = {("ES", "atm"): 5, ("PT", "atm"): 5, ("FR", "atm"): 5, ("ES", "cards"): 5}
"""Contacts in five minutes."""
DAYS = 9
QUIET = 60


@cache
def watched(partitions: int, *, pseudonyms: bool) -> "Bank":
    """Nine days are learnt in seconds: once is enough."""
    return Bank(partitions=partitions, pseudonyms=pseudonyms)


def bank_of(partitions: int = 1, *, pseudonyms: bool = True) -> "Bank":
    return deepcopy(watched(partitions, pseudonyms=pseudonyms))


class Bank:
    """Four segments that were watched for DAYS and QUIET minutes, each with a contact a minute since."""

    def __init__(self, *, pseudonyms: bool = True, partitions: int = 1) -> None:
        self._pseudonyms, self._names, self._rng = pseudonyms, count(), random.Random(7)
        self.d = Detection(partitions=partitions)
        history = HistoryRecord(
            id=HISTORY,
            part=0,
            start=at(-DAYS * 1440),
            step_seconds=300,
            segments=tuple(USUAL),
            counts=tuple((contacts,) * (DAYS * 288) for contacts in USUAL.values()),
        )
        self.d.counts_record(0, history)
        self.d.counts_record(0, HistoryEndRecord(id=HISTORY, parts=1))
        self._now = 0
        self.minutes(QUIET)

    def send(self, segment: tuple[str, str], customer: str | None = None, **fields: object) -> None:
        name = next(self._names)
        who = customer or f"customer-{name}"
        country, topic = segment
        record = contact(f"c{name}", self._now + 0.2, country=country, topic=topic, **fields)
        if self._pseudonyms:
            record = record.model_copy(update={"customer": who})
        self.d.put(self._now + 0.2, record)

    def minutes(self, until: int, rise: "list[dict[str, object]] | None" = None, each: int = 1) -> "Bank":
        """Ordinary minutes; with `rise`, of each of these contacts so many more a minute."""
        for minute in range(self._now, until):
            self._now = minute
            for segment in USUAL:
                handler = self._rng.choice(["in_house", "partner"])
                self.send(segment, channel=self._rng.choice(["phone", "chat"]), subtopic="card", handler=handler)
            for more in rise or ():
                for _ in range(each):
                    self.send(**more)  # type: ignore[arg-type]
            self.d.tick(self._now + 0.5)
        self._now = until
        return self

    @property
    def last(self) -> SpikeRecord:
        return self.d.spikes[-1]


def shares(spike: SpikeRecord, dimension: str) -> dict[str, float]:
    return {one.value: one.share for one in spike.carried_by or () if one.dimension == dimension}


NO_CASH: dict[str, object] = {"channel": "phone", "subtopic": "no-cash", "handler": "partner"}


def test_it_says_what_carries_it_and_how_many_customers() -> None:
    # 250 ordinary minutes, then 4 more a minute for 15, all by phone and of one subtopic
    bank = bank_of().minutes(250).minutes(265, [{"segment": ("ES", "atm"), **NO_CASH}], each=4)
    spike = bank.last
    assert spike.segment == ("ES", "atm")
    assert spike.customers == spike.observed > 60
    assert spike.customers_at_least is None
    assert shares(spike, "subtopic")["no-cash"] > 0.95
    assert shares(spike, "channel")["phone"] > 0.9
    assert shares(spike, "handler")["partner"] > 0.9
    for dimension in ("subtopic", "channel", "handler"):
        assert sum(shares(spike, dimension).values()) == pytest.approx(1.0, abs=1e-9)
    assert f"from {spike.customers} customers" in spike.explanation
    assert "carried by no-cash " in spike.explanation
    assert f"von {spike.customers} Kunden" in (spike.explanation_de or "")
    assert spike.better_described_by is None


def test_a_customer_who_comes_again_is_one() -> None:
    callers = cycle([f"again-{n}" for n in range(40)])
    bank = bank_of()
    for minute in range(60, 75):
        bank.minutes(minute + 1, [{"segment": ("ES", "atm"), "customer": next(callers)} for _ in range(8)])
    assert bank.last.window_seconds == 900
    assert bank.last.observed > 90
    assert bank.last.customers == 15 + 40


class TestOneCallersCalls:
    """29 calls in 22 minutes are not an outage."""

    CALLS = ("ES", "atm")

    def calls(self, bank: Bank, callers: int, *, a_minute: int = 3) -> Bank:
        who = cycle([f"caller-{n}" for n in range(callers)])
        for minute in range(60, 82):
            bank.minutes(minute + 1, [{"segment": self.CALLS, "customer": next(who)} for _ in range(a_minute)])
        return bank

    @pytest.mark.parametrize("callers", [1, 2])
    def test_open_no_spike_and_are_told_as_withheld(self, callers: int) -> None:
        bank = self.calls(bank_of(), callers)
        assert bank.d.judge.spikes_withheld > 0
        bank.minutes(200)
        assert bank.d.spikes == []
        assert bank.d.judge.spikes_withheld == 0

    def test_where_contacts_carry_no_pseudonym_nothing_changes(self) -> None:
        bank = self.calls(bank_of(pseudonyms=False), 1)
        opened = bank.d.spikes[0]
        assert (opened.state, opened.segment) == ("opened", self.CALLS)
        assert (opened.customers, opened.customers_at_least) == (None, None)
        assert bank.d.judge.spikes_withheld == 0

    def test_many_customers_who_all_come_again_are_an_outage(self) -> None:
        assert self.calls(bank_of(), 40).d.spikes[0].segment == self.CALLS

    def test_what_rises_beside_them_is_paged(self) -> None:
        bank = self.calls(bank_of(), 1).minutes(100, [{"segment": self.CALLS}], each=4)
        opened = [spike for spike in bank.d.spikes if spike.state == "opened"]
        assert self.CALLS in {spike.segment for spike in opened}
        assert at(82) < opened[0].at < at(92)


def test_a_segment_says_that_its_topic_rises_everywhere() -> None:
    rise = [{"segment": (country, "atm"), **NO_CASH} for country in ("ES", "PT", "FR")]
    bank = bank_of().minutes(75, rise, each=4)
    by_line = {spike.segment: spike for spike in bank.d.spikes}
    assert by_line["ES", "atm"].better_described_by == ("*", "atm")
    assert by_line["ES", "atm"].explanation.endswith("part of a rise of atm across all countries.")
    assert (by_line["ES", "atm"].explanation_de or "").endswith("Teil eines Anstiegs von atm über alle Länder.")
    countries = shares(by_line["*", "atm"], "country")
    assert countries == pytest.approx({"ES": 1 / 3, "PT": 1 / 3, "FR": 1 / 3}, abs=0.05)
    assert by_line["*", "atm"].customers == by_line["*", "atm"].observed


def test_no_hash_and_no_pseudonym_leaves_the_judge() -> None:
    bank = bank_of().minutes(70, [{"segment": ("ES", "atm"), "customer": "secret-pseudonym"}], each=4)
    written = b"\n".join(output.encode() for output in bank.d.outputs)
    assert b'"customers":{' in b"".join(record.value for record in bank.d.counts)
    assert b"secret-pseudonym" not in b"".join(record.value for record in bank.d.counts)
    assert b"hashes" not in written
    assert b"secret-pseudonym" not in written


def test_partitions_and_their_order_change_nothing_of_it() -> None:
    rise = [{"segment": ("ES", "atm"), **NO_CASH}]
    one, three = (bank_of(n).minutes(72, rise, each=4).last for n in (1, 3))
    assert one.model_copy(update={"origin": None}) == three.model_copy(update={"origin": None})


def test_the_state_of_both_stays_small() -> None:
    bank = bank_of().minutes(240)
    tree = bank.d.judge.state()
    size = sum(len(encode(tree[name])) for name in ("carriers", "customers"))
    assert size / len(USUAL) < 2.5 * 1024  # at sixty contacts an hour, ten times what is usual
