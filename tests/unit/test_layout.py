"""The source roots on disk are those that packaging, type checks and imports name, and what is generated fits."""

import tomllib
from typing import Any, Final

import pytest

from support import drift

PROJECT: Final[dict[str, Any]] = tomllib.loads((drift.ROOT / "pyproject.toml").read_text("utf-8"))
PRESCRIBED: Final = {
    "schemas",
    "libs",
    "services/ingest",
    "services/detector",
    "services/alerter",
    "services/dashboard",
}


def roots_on_disk() -> set[str]:
    """Folders that hold a folder `pegel`: schemas, libs, and each of services/."""
    candidates = [drift.ROOT / "schemas", drift.ROOT / "libs", *(drift.ROOT / "services").iterdir()]
    return {str(path.relative_to(drift.ROOT)) for path in candidates if (path / "pegel").is_dir()}


def test_source_roots_on_disk_are_the_prescribed_ones() -> None:
    assert roots_on_disk() == PRESCRIBED


def test_the_wheel_takes_every_source_root() -> None:
    packages = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert sorted(packages) == sorted(f"{root}/pegel" for root in roots_on_disk())


def test_an_editable_install_takes_every_source_root() -> None:
    assert sorted(PROJECT["tool"]["hatch"]["build"]["dev-mode-dirs"]) == sorted(roots_on_disk())


def test_type_checks_take_every_source_root_and_the_tests() -> None:
    assert sorted(PROJECT["tool"]["mypy"]["mypy_path"]) == sorted({"tests", "benchmarks", *roots_on_disk()})


@pytest.mark.parametrize("root", sorted(PRESCRIBED))
def test_pegel_is_a_namespace_package(root: str) -> None:
    assert not (drift.ROOT / root / "pegel/__init__.py").exists()
    for package in (drift.ROOT / root / "pegel").rglob("*.py"):
        above = package.parent
        if above.name != "pegel":
            assert (above / "__init__.py").exists(), f"{above} would be left out of the type checks"


def test_a_changed_a_missing_and_a_left_over_schema_are_named() -> None:
    wanted = drift.json_schemas()
    faults = drift.schema_drift({drift.SCHEMAS / "contact.json": "{}\n", drift.SCHEMAS / "new.json": "{}\n"})
    assert "schemas/json/contact.json is not what its model says: make schemas" in faults
    assert "schemas/json/new.json is not what its model says: make schemas" in faults
    assert "schemas/json/amendment.json has no model: make schemas" in faults
    assert {path.stem for path in wanted} >= {"contact", "counts-record", "window-record", "incident", "ledger-entry"}


@pytest.mark.parametrize("lock", [drift.RUN_LOCK, drift.DEV_LOCK], ids=lambda path: path.name)
def test_every_locked_package_has_hashes(lock: Any) -> None:
    blocks = lock.read_text("utf-8").replace("\\\n", " ").strip().splitlines()
    assert blocks
    assert [block.split()[0] for block in blocks if "--hash=sha256:" not in block] == []
