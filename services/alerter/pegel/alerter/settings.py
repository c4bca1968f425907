"""The alerter's files of configuration: ownership.yaml and prices.yaml in PEGEL_CONFIG_DIR, or the examples."""

import hashlib
from collections.abc import Hashable, Mapping
from datetime import UTC, date, datetime
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints, ValidationError

from pegel.runtime.http import field_errors
from pegel.runtime.settings import ConfigurationError

VERSION_DIGITS = 16


class FileModel(BaseModel):
    """A closed part of a file of configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _aware(value: object) -> object:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("give a zone (2026-01-31T00:00:00+01:00), or a day alone, which begins at 00:00 UTC")
        return value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return value


Moment = Annotated[datetime, BeforeValidator(_aware)]
"""A day (from 00:00 UTC) or a time with a zone."""
Glob = Annotated[str, StringConstraints(min_length=1, max_length=128)]


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


Globs = Annotated[tuple[Glob, ...], BeforeValidator(_listed)]
"""A glob or a list of them."""
M = TypeVar("M", bound=FileModel)


def source(config_dir: Path | None, name: str) -> Path | Traversable:
    """Where a file is: in the folder, or among the examples that come with Pegel."""
    return config_dir / name if config_dir else files("pegel.alerter") / "examples" / name


def read(path: Path | Traversable, model: type[M]) -> tuple[M, str]:
    """The file's content, and a version that changes with it. Raises ConfigurationError with all that is wrong."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigurationError([f"{path}: {error.strerror}"]) from None
    try:
        document = yaml.load(content, _Loader)  # noqa: S506 (a SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError([f"{path}: {' '.join(str(error).split())}"[:500]]) from None
    try:
        found = model.model_validate(document if document is not None else {})
    except ValidationError as error:
        errors = field_errors(error.errors(include_url=False))
        raise ConfigurationError([f"{path}: {fault.field or 'the file'}: {fault.reason}" for fault in errors]) from None
    return found, hashlib.sha256(content).hexdigest()[:VERSION_DIGITS]


class _Loader(yaml.SafeLoader):
    """YAML takes the last of two equal keys; here that is a fault."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"{key} stands twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def unknown_keys(given: Mapping[str, object], known: set[str], where: str) -> list[str]:
    """A fault for each key that is not known."""
    return [f"{where}.{key}: is none of {', '.join(sorted(known))}" for key in given if key not in known]
