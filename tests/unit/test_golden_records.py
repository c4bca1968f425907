"""Yesterday's records stay readable: each file in golden/ holds the bytes of a record as a release wrote it.

A file is never changed. When a record gets a new field or version, add a file for it, named by what is new.
"""

import json
from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel, ValidationError

from pegel.schemas import contact, detection, ledger, rejected
from pegel.schemas.base import LogRecord

MODELS: dict[str, type[BaseModel]] = {
    get_args(model.model_fields["kind"].annotation)[0]: model
    for module in (contact, detection, rejected)
    for model in vars(module).values()
    if isinstance(model, type) and issubclass(model, LogRecord) and model is not LogRecord
}
FILES = sorted((Path(__file__).parent / "golden").glob("*.json"))


def decoded(file: Path) -> BaseModel:
    data = file.read_bytes().removesuffix(b"\n")
    kind = json.loads(data).get("kind")
    return (MODELS[kind] if kind else ledger.LedgerEntry).model_validate_json(data)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_is_read_and_written_the_same(file: Path) -> None:
    record = decoded(file)
    assert record.model_dump_json(exclude_none=True).encode() + b"\n" == file.read_bytes()
    if isinstance(record, LogRecord):
        assert type(record).decode(record.encode()) == record


@pytest.mark.parametrize("model", [*MODELS.values(), ledger.LedgerEntry], ids=lambda model: model.__name__)
def test_each_record_is_there_with_every_field(model: type[BaseModel]) -> None:
    said: set[str] = set()
    for file in FILES:
        record = decoded(file)
        if type(record) is model:
            said |= {name for name, value in record if value is not None}
    assert said == set(model.model_fields)


@pytest.mark.parametrize("kind", MODELS)
def test_a_record_begins_with_kind_and_version(kind: str) -> None:
    for file in FILES:
        if json.loads(file.read_bytes()).get("kind") == kind:
            assert file.read_bytes().startswith(b'{"kind":"%s","v":1' % kind.encode())


@pytest.mark.parametrize("kind", MODELS)
def test_another_version_is_refused_by_name(kind: str) -> None:
    file = next(file for file in FILES if json.loads(file.read_bytes()).get("kind") == kind)
    data = file.read_bytes().replace(b'"v":1', b'"v":2', 1)
    with pytest.raises(ValidationError) as raised:
        MODELS[kind].model_validate_json(data)
    assert [error["loc"] for error in raised.value.errors()] == [("v",)]
