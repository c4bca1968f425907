"""What ingest writes on the log: the very bytes of the record models, with pseudonyms in place of who it was."""

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from pegel.ingest.domain.pseudonyms import FIELDS, pseudonymiser
from pegel.ingest.domain.records import amendment_record, contact_record
from pegel.schemas.contact import Amendment, AmendmentRecord, AmendmentSet, Contact, ContactRecord, Satisfaction

PSEUDONYMISE = pseudonymiser(b"k" * 32)

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
    PSEUDONYMISE(values)
    assert contact_record(contact.model_copy(), "desk", PSEUDONYMISE) == ContactRecord(**values).encode()


def test_a_record_names_nobody_and_links_the_same_customer() -> None:
    def record(**over: str) -> ContactRecord:
        contact = Contact(
            event_id="1",
            occurred_at=datetime(2026, 1, 1, tzinfo=UTC),
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
    PSEUDONYMISE(mine)
    pseudonymiser(b"K" * 32)(theirs)
    assert not set(mine.values()) & set(theirs.values())


def test_a_pseudonym_stays_for_ever() -> None:
    # From now on these stand on logs: another algorithm would end all linkage.
    values: dict[str, object] = {"customer": "12345", "case": None}
    PSEUDONYMISE(values)
    assert values == {"customer": "5fa89004ce0ab9da8026c9c82beaa805", "case": None}


def test_an_amendment_is_a_record_with_its_source() -> None:
    amendment = Amendment(
        amendment_id="a", event_id="1", reason="wrap_up", set=AmendmentSet(topic="cards", customer="12345")
    )
    record = AmendmentRecord.decode(amendment_record(amendment, "desk", PSEUDONYMISE))
    assert (record.source, record.event_id, record.set and record.set.topic) == ("desk", "1", "cards")
    assert record.set is not None
    assert record.set.customer != "12345"
    void = Amendment(amendment_id="a", event_id="1", reason="spam", void=True)
    assert AmendmentRecord.decode(amendment_record(void, "desk", PSEUDONYMISE)).void
