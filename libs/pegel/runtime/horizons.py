"""How long things are kept, and what for: a horizon that is longer than what it needs is kept is a fault (`load`)."""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pegel.runtime.settings import Settings

WINDOWS_RETENTION_HOURS_MIN: Final = 8 * 7 * 24
"""Charges and pages can be traced to the records behind them for so long."""

LINKED_RETENTION_HOURS: Final = 8 * 24
"""How long the stream linked is kept: the longest time over which pseudonyms are compared."""

AUDIT_WARM_UP_HOURS: Final = 24
"""An audit reads so much more than the horizon before the day that it seals."""


def snapshot_age_hours(settings: "Settings") -> float:
    """How old the newest whole snapshot may be, taken generously: an hour, or ten intervals."""
    return max(1.0, 10 * settings.snapshot_seconds / 3600)


def horizon_faults(settings: "Settings") -> list[str]:
    """A line for each relation that does not hold: the settings with their values, and what to change."""
    contacts, windows = settings.contacts_retention_hours, settings.windows_retention_hours
    horizon, outage, age_days = settings.dedup_horizon_hours, settings.outage_hours_max, settings.age_days_max
    rotation_days, linked_days = settings.pseudonym_rotation_days, LINKED_RETENTION_HOURS / 24
    old = snapshot_age_hours(settings)
    faults = []
    if contacts <= horizon + AUDIT_WARM_UP_HOURS:
        faults.append(
            f"PEGEL_CONTACTS_RETENTION_HOURS={contacts:g} does not reach over PEGEL_DEDUP_HORIZON_HOURS={horizon:g} and"
            f" the {AUDIT_WARM_UP_HOURS} h that an audit seals at a time: keep contacts longer than"
            f" {horizon + AUDIT_WARM_UP_HOURS:g} h, or shorten the horizon"
        )
    for name, kept in (("CONTACTS", contacts), ("WINDOWS", windows)):
        if kept <= old + outage:
            faults.append(
                f"PEGEL_{name}_RETENTION_HOURS={kept:g} does not reach over PEGEL_OUTAGE_HOURS_MAX={outage:g} and the"
                f" {old:g} h that a snapshot may be old (PEGEL_SNAPSHOT_SECONDS={settings.snapshot_seconds:g}): keep"
                f" {name.lower()} longer than {old + outage:g} h, or tolerate a shorter outage"
            )
    if windows < WINDOWS_RETENTION_HOURS_MIN:
        faults.append(
            f"PEGEL_WINDOWS_RETENTION_HOURS={windows:g} is less than 8 weeks: keep windows"
            f" {WINDOWS_RETENTION_HOURS_MIN} h or longer"
        )
    if windows < age_days * 24:
        faults.append(
            f"PEGEL_WINDOWS_RETENTION_HOURS={windows:g} does not reach over PEGEL_AGE_DAYS_MAX={age_days}: a contact so"
            f" old would change windows that are gone; keep them {age_days * 24} h or longer, or take younger contacts"
        )
    if rotation_days <= linked_days:
        faults.append(
            f"PEGEL_PSEUDONYM_ROTATION_DAYS={rotation_days:g} does not reach over the {linked_days:g} days that the"
            f" stream linked is kept: rotate less often than every {linked_days:g} days"
        )
    if rotation_days * 24 <= horizon:
        faults.append(
            f"PEGEL_PSEUDONYM_ROTATION_DAYS={rotation_days:g} does not reach over"
            f" PEGEL_DEDUP_HORIZON_HOURS={horizon:g}: rotate less often than every {horizon / 24:g}"
            " days, or shorten the horizon"
        )
    return faults
