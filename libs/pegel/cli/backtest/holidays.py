"""What --holidays says: the public holidays of each country, none, or the days of a file."""

import csv
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Literal

from pegel.runtime.settings import ConfigurationError

EVERYWHERE = ""


@dataclass(frozen=True, slots=True)
class Holidays:
    """auto: public holidays by the country. days: of a file, country (or EVERYWHERE) to dates."""

    source: Literal["auto", "none", "file"]
    days: Mapping[str, frozenset[date]] = field(default_factory=dict)


def make_holidays(option: str, dimensions: tuple[str, ...]) -> Holidays:
    """auto is none without a country. Raises ConfigurationError for a file that can't be read."""
    if option == "auto":
        return Holidays("auto" if "country" in dimensions else "none")
    return Holidays("none") if option == "none" else _read(Path(option))


def _read(path: Path) -> Holidays:
    """A CSV with a column `date` (2024-12-24), and maybe `country`; without one a day is a holiday everywhere."""
    days: defaultdict[str, set[date]] = defaultdict(set)
    faults = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            there = reader.fieldnames or ("none",)
            if "date" not in there:
                raise ConfigurationError([f"--holidays {path}: has no column date; it has {', '.join(there)}"])
            for row in reader:
                try:
                    days[(row.get("country") or EVERYWHERE).strip().upper()].add(
                        date.fromisoformat(row["date"].strip())
                    )
                except (AttributeError, ValueError):
                    faults.append(
                        f"--holidays {path}: line {reader.line_num}: {row['date']} is not a date (2024-12-24)"
                    )
    except OSError as error:
        raise ConfigurationError(
            [f"--holidays {path}: {error.strerror}; give auto, none or a CSV with a column date"]
        ) from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError([f"--holidays {path}: can't be read: {error}"]) from None
    if faults:
        raise ConfigurationError(faults)
    return Holidays("file", {country: frozenset(dates) for country, dates in days.items()})
