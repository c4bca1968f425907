"""Which column gives which field: the options, the file's own names, and all that is wrong with them at once."""

import difflib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from pegel.cli.replay.fields import ATTRIBUTE, CONVERSIONS, REQUIRED, Value, convert, is_field, is_of_employee
from pegel.runtime.settings import ConfigurationError
from pegel.schemas.contact import AmendmentSet

ATTRIBUTES_MAX = 10


@dataclass(frozen=True, slots=True)
class Plan:
    """columns: field to column. fixed: field to its one value. ignored: columns that are no field."""

    columns: dict[str, str]
    fixed: dict[str, Value]
    ignored: tuple[str, ...]
    time_column: str | None


def make_plan(
    file_columns: Sequence[str],
    *,
    time_column: str,
    columns: Sequence[str] = (),
    fixed: Sequence[str] = (),
    id_column: str | None = None,
    time_needed: bool = True,
) -> Plan:
    """columns: 'FIELD=COL' each (an empty COL leaves the field out); fixed: 'FIELD=VALUE' each.

    Raises ConfigurationError with every fault in a line.
    """
    faults: list[str] = []
    chosen = _pairs(columns, "--column", "FIELD=COL", faults)
    constant = _pairs(fixed, "--set", "FIELD=VALUE", faults)
    if id_column is not None:
        chosen["event_id"] = id_column
    for option, pairs in (("--column", chosen), ("--set", constant)):
        for field, value in pairs.items():
            faults.extend(_field_faults(f"{option} {field}={value}", field))
    faults += [
        f"--column {field}={column}: --set {field}={constant[field]} gives it too"
        for field, column in chosen.items()
        if field in constant
    ]
    for field, column in chosen.items():
        if column and column not in file_columns:
            option = "--id" if field == "event_id" else f"--column {field}="
            faults.append(f"{option}{' ' if option == '--id' else ''}{column}: {_no_column(column, file_columns)}")
    has_time = time_column in file_columns
    if not has_time and time_needed:
        faults.append(f"--time {time_column}: {_no_column(time_column, file_columns)}")
    by_name = {
        name: name
        for name in file_columns
        if is_field(name) and name not in chosen and name not in constant and name != time_column
    }
    for name in [name for name in by_name if is_of_employee(name)]:
        del by_name[name]  # never sent: employees are not measured
    taken = {**by_name, **{field: column for field, column in chosen.items() if column}}
    faults += [
        f"no column gives {field}: use --column {field}=COL or --set {field}=VALUE"
        for field in REQUIRED
        if field not in taken and field not in constant
    ]
    attributes = [field for field in (*taken, *constant) if field.startswith(ATTRIBUTE)]
    if len(attributes) > ATTRIBUTES_MAX:
        faults.append(f"{len(attributes)} attributes are given, a contact has at most {ATTRIBUTES_MAX}")
    values = {field: convert(field, text) for field, text in constant.items()}
    faults.extend(_value_faults(constant, values))
    if faults:
        raise ConfigurationError(list(dict.fromkeys(faults)))
    used = {*taken.values(), time_column}
    return Plan(
        taken, values, tuple(name for name in file_columns if name not in used), time_column if has_time else None
    )


def nested(fields: dict[str, Value]) -> dict[str, object]:
    """Fields with a dot in their name as the objects that ingest takes: attributes.region, satisfaction.value."""
    whole: dict[str, object] = {}
    for name, value in fields.items():
        outer, dot, inner = name.partition(".")
        if dot:
            group = whole.setdefault(outer, {})
            assert isinstance(group, dict)  # noqa: S101  (a field has a dot or has none)
            group[inner] = value
        else:
            whole[name] = value
    return whole


def _pairs(given: Sequence[str], option: str, form: str, faults: list[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in given:
        field, equals, value = text.partition("=")
        if not equals or not field:
            faults.append(f"{option} {text}: write {option} {form}")
        elif field in pairs:
            faults.append(f"{option} {text}: {field} is given twice")
        else:
            pairs[field] = value
    return pairs


def _field_faults(option: str, field: str) -> list[str]:
    if field == "occurred_at":
        return [f"{option}: the time is given by --time COL"]
    if is_of_employee(field):
        return [f"{option}: an attribute that names an employee is refused; employees are never measured"]
    if not is_field(field):
        near = difflib.get_close_matches(field, [*CONVERSIONS, ATTRIBUTE + "NAME"], 1, 0.0)[0]
        return [f"{option}: a contact has no field {field}; the nearest is {near}"]
    return []


def _no_column(name: str, file_columns: Sequence[str]) -> str:
    return f"the file has no column {name}; it has {', '.join(file_columns) or 'none'}"


def _value_faults(texts: dict[str, str], values: dict[str, Value]) -> list[str]:
    """What ingest would say to these values: once, instead of for every row."""
    known = {field: value for field, value in values.items() if field not in {"event_id", "source"} and is_field(field)}
    faults = [f"--set {field}={text}: it gives no value" for field, text in texts.items() if values[field] is None]
    if "event_id" in values:
        faults.append(f"--set event_id={texts['event_id']}: ids differ, use --id COL")
    try:
        AmendmentSet.model_validate_json(json.dumps(nested({k: v for k, v in known.items() if v is not None})))
    except ValidationError as error:
        for fault in error.errors(include_url=False):
            path = ".".join(str(part) for part in fault["loc"])
            field = next((name for name in texts if name == path or path.startswith(f"{name}.")), path)
            reason = str(fault["msg"]).removeprefix("Value error, ")
            if fault["type"] == "literal_error" and len(reason) > 200:
                reason = "not one of the known codes"
            faults.append(f"--set {field}={texts.get(field, '')}: {reason}")
    return faults
