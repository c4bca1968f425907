"""Settings: what must hold between horizons and retention, and all that is wrong is told at once."""

import pytest

from pegel.runtime.settings import ConfigurationError, load


def faults_of(environment: dict[str, str]) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(environment)
    return caught.value.faults


def test_the_defaults_hold() -> None:
    settings = load({})
    assert (settings.snapshot_seconds, settings.outage_hours_max) == (300, 72)
    assert (settings.unreadable_max, settings.stuck_seconds) == (100, 120)


@pytest.mark.parametrize(
    ("name", "short", "enough", "also"),
    [
        # 7 days of horizon and the day that is sealed: 192 h.
        ("CONTACTS_RETENTION_HOURS", "192", "192.1", "PEGEL_DEDUP_HORIZON_HOURS=168"),
        ("DEDUP_HORIZON_HOURS", "816", "815", "PEGEL_CONTACTS_RETENTION_HOURS=840"),
        # Contacts are kept for 840 h, and a snapshot may be an hour old ...
        ("OUTAGE_HOURS_MAX", "839", "838", "PEGEL_CONTACTS_RETENTION_HOURS=840"),
        # ... or ten intervals: 840 h less the 72 h of the outage are 768.
        ("SNAPSHOT_SECONDS", str(76.8 * 3600), str(76 * 3600), "PEGEL_OUTAGE_HOURS_MAX=72"),
        ("WINDOWS_RETENTION_HOURS", "1343", "1344", "8 weeks"),
        ("AGE_DAYS_MAX", "57", "56", "PEGEL_WINDOWS_RETENTION_HOURS=1344"),
        ("PSEUDONYM_ROTATION_DAYS", "8", "8.1", "8 days that the stream linked is kept"),
        ("DEDUP_HORIZON_HOURS", "240", "239", "PEGEL_PSEUDONYM_ROTATION_DAYS=10"),
    ],
)
def test_what_is_needed_must_be_kept(name: str, short: str, enough: str, also: str) -> None:
    others = {"PEGEL_PSEUDONYM_ROTATION_DAYS": "10"} if "=10" in also else {}
    (fault,) = faults_of({**others, f"PEGEL_{name}": short})
    assert f"PEGEL_{name}={short.removesuffix('.0')}" in fault
    assert also in fault
    assert getattr(load({**others, f"PEGEL_{name}": enough}), name.lower()) == float(enough)


def test_all_faults_are_told_at_once_each_in_a_line() -> None:
    """Also those between settings while another can't even be read, but none that only its default would cause."""
    faults = faults_of(
        {
            "PEGEL_CLOK": "data",
            "PEGEL_PARTITIONS": "none",
            "PEGEL_WINDOWS_RETENTION_HOURS": "lots",
            "PEGEL_AGE_DAYS_MAX": "400",
            "PEGEL_CONTACTS_RETENTION_HOURS": "100",
            "PEGEL_OUTAGE_HOURS_MAX": "100",
            "PEGEL_HOST": "192.0.2.1",
        }
    )
    assert [fault.split(" ")[0].removesuffix(":") for fault in faults] == [
        "PEGEL_CLOK",
        "PEGEL_PARTITIONS=none",
        "PEGEL_WINDOWS_RETENTION_HOURS=lots",
        "PEGEL_HOST=192.0.2.1",
        "PEGEL_CONTACTS_RETENTION_HOURS=100",
        "PEGEL_CONTACTS_RETENTION_HOURS=100",
    ]
    assert not any("\n" in fault for fault in faults)


def test_a_secret_is_not_told_with_its_fault() -> None:
    (fault,) = faults_of({"PEGEL_HOST": "192.0.2.1", "PEGEL_TOKEN": "s3cret"})
    assert "s3cret" not in fault
    assert "PEGEL_TOKENS_FILE is needed" in fault
