"""What is generated must be what its source says: `python -m support.drift` (make check), `--write` writes it anew.

Covers schemas/json/ (from the models) and, without the network, the two lock files (against pyproject.toml).
"""

import argparse
import importlib
import json
import pkgutil
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pydantic import BaseModel

import pegel.schemas
from pegel.schemas.base import LogRecord, Versioned

ROOT: Final = Path(__file__).resolve().parents[2]
SCHEMAS: Final = ROOT / "schemas/json"
RUN_LOCK: Final = ROOT / "requirements.lock"
DEV_LOCK: Final = ROOT / "requirements-dev.lock"
WIRE_MODELS: Final = ("Contact", "Amendment", "Problem")
"""What travels over HTTP without being an API model of its own; the rest is told by its base class."""


def _subclasses(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for subclass in model.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)


def published_models() -> dict[str, type[BaseModel]]:
    """Every record on the log, API model and wire model of pegel.schemas, by its file's name (contact-record)."""
    modules = [
        importlib.import_module(f"pegel.schemas.{found.name}") for found in pkgutil.iter_modules(pegel.schemas.__path__)
    ]
    models = {*_subclasses(LogRecord), *_subclasses(Versioned)}
    for name in WIRE_MODELS:
        models.update(found for module in modules if (found := getattr(module, name, None)) is not None)
    ours = [model for model in models if model.__module__.startswith("pegel.schemas.")]
    return {re.sub(r"(?<=[a-z])(?=[A-Z])", "-", model.__name__).lower(): model for model in ours}


def _without_line_breaks(schema: Any) -> Any:
    """Descriptions in one line, so that a docstring may be wrapped anew without changing a schema."""
    if isinstance(schema, dict):
        return {
            key: " ".join(value.split())
            if key == "description" and isinstance(value, str)
            else _without_line_breaks(value)
            for key, value in schema.items()
        }
    if isinstance(schema, list):
        return [_without_line_breaks(item) for item in schema]
    return schema


def json_schemas() -> dict[Path, str]:
    """Path and text of every file that schemas/json/ should hold."""
    texts = {}
    for name, model in sorted(published_models().items()):
        header = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"urn:pegel:schema:{name}:1"}
        schema = header | _without_line_breaks(model.model_json_schema())
        texts[SCHEMAS / f"{name}.json"] = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
    return texts


def schema_drift(wanted: Mapping[Path, str]) -> list[str]:
    """A sentence for each schema that is missing, left over or not what its model says."""
    present = set(SCHEMAS.glob("*"))
    faults = [f"{path.relative_to(ROOT)} has no model: make schemas" for path in sorted(present - wanted.keys())]
    for path, text in wanted.items():
        if path not in present or path.read_text("utf-8") != text:
            faults.append(f"{path.relative_to(ROOT)} is not what its model says: make schemas")
    return faults


def locked(lock: str) -> dict[str, str]:
    """The versions of a lock file, by normalised name; of several (by marker) the one for this Python."""
    versions: dict[str, str] = {}
    for line in lock.splitlines():
        if "==" in line and not line.startswith((" ", "#")):
            requirement = Requirement(line.rstrip("\\ "))
            if requirement.marker is None or requirement.marker.evaluate():
                versions[canonicalize_name(requirement.name)] = str(requirement.specifier).removeprefix("==")
    return versions


def wanted_requirements(project: dict[str, Any], group: str) -> list[Requirement]:
    """The dependencies of pyproject.toml with those of a dependency group and the groups it includes."""

    def of_group(name: str) -> Iterator[str]:
        for entry in project["dependency-groups"][name]:
            if isinstance(entry, str):
                yield entry
            else:
                yield from of_group(entry["include-group"])

    return [Requirement(text) for text in [*project["project"]["dependencies"], *of_group(group)]]


def lock_drift() -> list[str]:
    """A sentence for each way in which the locks do not fit pyproject.toml or one another."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    faults = []
    texts = {path: path.read_text("utf-8") for path in (RUN_LOCK, DEV_LOCK)}
    for path, group in ((RUN_LOCK, "build"), (DEV_LOCK, "dev")):
        versions = locked(texts[path])
        for requirement in wanted_requirements(project, group):
            version = versions.get(canonicalize_name(requirement.name))
            if version is None:
                faults.append(f"{path.name} lacks {requirement.name}: make lock")
            elif not requirement.specifier.contains(version, prereleases=True):
                faults.append(f"{path.name} has {requirement.name} {version}, not {requirement.specifier}: make lock")
        if "://" in texts[path]:
            faults.append(f"{path.name} holds an address: make lock")
    for name, version in locked(texts[RUN_LOCK]).items():
        if (other := locked(texts[DEV_LOCK]).get(name)) != version:
            faults.append(f"{name} is {version} in {RUN_LOCK.name} and {other} in {DEV_LOCK.name}: make lock")
    return faults


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write schemas/json/ anew")
    wanted = json_schemas()
    if parser.parse_args().write:
        SCHEMAS.mkdir(exist_ok=True)
        for path in set(SCHEMAS.glob("*")) - wanted.keys():
            path.unlink()
        for path, text in wanted.items():
            path.write_text(text, "utf-8")
        sys.stdout.write(f"schemas/json: {len(wanted)} schemas written\n")
        return 0
    faults = [*schema_drift(wanted), *lock_drift()]
    sys.stdout.write(
        "".join(f"{fault}\n" for fault in faults) or "drift: schemas/json and the locks are as generated\n"
    )
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
