"""What ingest writes on the log: the very bytes of the record models, with pseudonyms in place of who it was."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from pegel.ingest.domain.pseudonyms import FIELDS, pseudonymiser
from pegel.ingest.domain.records import amendment_record, contact_record
from pegel.schemas.contact import Amendment, AmendmentRecord, AmendmentSet, Contact, ContactRecord, Satisfaction

KEY = b"k" * 32
DAYS = 90
PSEUDONYMISE = pseudonymiser(KEY, DAYS)
NOW = datetime(2026, 1, 1, tzinfo=UTC)

contacts = st.builds(
    Contact,
    event_id=st.from_regex(r"\A[!-~]{1,128}\Z"),
    occurred_at=st.datetimes(
        timezones=st.sampled_from([UTC, timezone(timedelta(hours=-3, minutes=-30)), ZoneInfo("Europe/Madrid")])
    ),
    country=st.sampled_from(["ES", "PT"]),
    topic=st.just("atm"),
    channel=st.just("phone"),
    source=st.none() | st.just("elsewhere"),
    customer=st.none() | st.from_regex(r"\A[A-Za-z0-9_-]{1,20}\Z"),
    account=st.none() | st.just("a-1"),
    case=st.none() | st.just("k-1"),
    complaint=st.none() | st.booleans(),
    handled_seconds=st.none() | st.integers(0, 1000),
    satisfaction=st.none() | st.builds(Satisfaction, scale=st.just("csat"), value=st.floats(0, 5)),
    attributes=st.none() | st.dictionaries(st.just("region"), st.text("aé €", min_size=1, max_size=9)),
)


@given(contacts)
def test_a_record_is_what_the_model_would_encode(contact: Contact) -> None:
    values = dict(contact) | {"source": "desk"}
    PSEUDONYMISE(values, contact.occurred_at)
    assert contact_record(contact.model_copy(), "desk", PSEUDONYMISE) == ContactRecord(**values).encode()


def test_a_record_names_nobody_and_links_the_same_customer() -> None:
    def record(**over: str) -> ContactRecord:
        contact = Contact(
            event_id="1",
            occurred_at=NOW,
            country="ES",
            topic="atm",
            channel="phone",
            **over,  # type: ignore[arg-type]
        )
        return ContactRecord.decode(contact_record(contact, "desk", PSEUDONYMISE))

    first = record(customer="12345", account="12345", case="12345")
    second = record(customer="12345")
    assert first.customer == second.customer
    assert len({first.customer, first.account, first.case, "12345"}) == 4


def test_another_key_links_nothing() -> None:
    mine: dict[str, object] = dict.fromkeys(FIELDS, "12345")
    theirs = dict(mine)
    PSEUDONYMISE(mine, NOW)
    pseudonymiser(b"K" * 32, DAYS)(theirs, NOW)
    assert not set(mine.values()) & set(theirs.values())


def pseudonym(when: datetime, days: float = DAYS) -> object:
    values: dict[str, object] = {"customer": "12345"}
    pseudonymiser(KEY, days)(values, when)
    return values["customer"]


def test_a_period_has_a_key_of_its_own() -> None:
    # 1970-01-01 |- 90 days -| 1970-04-01 |- 90 days -| ...
    period = timedelta(days=DAYS)
    begin = datetime(1970, 1, 1, tzinfo=UTC) + 226 * period
    assert pseudonym(begin) == pseudonym(begin + period - timedelta(microseconds=1))
    others = [pseudonym(begin + turn * period) for turn in range(100)]  # more than are kept at hand
    assert len(set(others)) == 100
    assert others == [pseudonym(begin + turn * period) for turn in range(100)]
    assert pseudonym(NOW, 30) != pseudonym(NOW, 60)


@given(st.integers(-3600 * 12, 3600 * 12))
def test_a_contact_that_is_sent_again_has_the_same_pseudonym_whatever_the_zone(seconds: int) -> None:
    assert pseudonym(NOW) == pseudonym(NOW.astimezone(timezone(timedelta(seconds=seconds))))


def test_an_amendment_has_the_pseudonyms_of_the_period_it_names_or_of_now() -> None:
    def amended(now: datetime, **said: object) -> object:
        values = AmendmentSet.model_validate({"customer": "12345", **said})
        amendment = Amendment(amendment_id="a", event_id="1", reason="wrap_up", set=values)
        record = AmendmentRecord.decode(amendment_record(amendment, "desk", PSEUDONYMISE, now))
        assert record.set is not None
        return record.set.customer

    later = NOW + timedelta(days=DAYS)
    assert amended(NOW) == pseudonym(NOW) != amended(later)
    assert amended(later, occurred_at=NOW) == pseudonym(NOW)


def test_a_pseudonym_stays_for_ever() -> None:
    # These stand on logs: another algorithm would end all linkage within the period.
    values: dict[str, object] = {"customer": "12345", "case": None}
    PSEUDONYMISE(values, NOW)
    assert values == {"customer": "163f6ac1bdbc0bcacbd3d33edac1fda1", "case": None}


def test_an_amendment_is_a_record_with_its_source() -> None:
    amendment = Amendment(
        amendment_id="a", event_id="1", reason="wrap_up", set=AmendmentSet(topic="cards", customer="12345")
    )
    record = AmendmentRecord.decode(amendment_record(amendment, "desk", PSEUDONYMISE, NOW))
    assert (record.source, record.event_id, record.set and record.set.topic) == ("desk", "1", "cards")
    assert record.set is not None
    assert record.set.customer != "12345"
    void = Amendment(amendment_id="a", event_id="1", reason="spam", void=True)
    assert AmendmentRecord.decode(amendment_record(void, "desk", PSEUDONYMISE, NOW)).void
