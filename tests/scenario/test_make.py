"""What `make` says, and what it passes on to `pegel run`."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support.drift import ROOT

FAKE_PEGEL = '#!/bin/sh\necho "pegel $*"\nenv | grep ^PEGEL_ | sort\nexit ${FAKE_CODE:-0}\n'


def make(folder: Path, *arguments: str, program: str = "make", **variables: str) -> subprocess.CompletedProcess[str]:
    """Runs make as a person would: not as a part of the `make test` that runs this."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "PEGEL_"))}
    return subprocess.run(
        [program, *arguments], cwd=folder, env={**inherited, **variables}, capture_output=True, text=True, check=False
    )


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A clone that is installed already, with a command `pegel` that only says how it was called."""
    for name in ("Makefile", "pyproject.toml", "requirements.lock", "requirements-dev.lock"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "deploy").mkdir()
    shutil.copy(ROOT / "deploy/install.sh", tmp_path / "deploy/install.sh")
    commands = tmp_path / ".venv/bin"
    commands.mkdir(parents=True)
    (commands / "pegel").write_text(FAKE_PEGEL)
    (commands / "pegel").chmod(0o755)
    (tmp_path / ".venv/.run-stamp").touch()
    return tmp_path


def test_make_alone_lists_every_target() -> None:
    listed = make(ROOT)
    assert listed.returncode == 0, listed.stderr
    declared = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert declared
    assert re.findall(r"^  make ([a-z-]+)  ", listed.stdout, re.MULTILINE) == declared[1].split()


def test_make_run_starts_the_simulated_bank(installed: Path) -> None:
    assert make(installed, "run").stdout.splitlines() == ["pegel run"]


def test_what_make_is_given_becomes_settings_of_this_run(installed: Path) -> None:
    run = make(installed, "run", "SIMULATE=0", "CLOCK=data", "BUCKET=5m")
    assert run.stdout.splitlines() == ["pegel run --no-simulate", "PEGEL_BUCKET_SECONDS=300", "PEGEL_CLOCK=data"]


@pytest.mark.parametrize(("bucket", "seconds"), [("30s", 30), ("90", 90), ("1m", 60), ("1h", 3600)])
def test_lengths_of_a_bucket(installed: Path, bucket: str, seconds: int) -> None:
    assert f"PEGEL_BUCKET_SECONDS={seconds}" in make(installed, "run", f"BUCKET={bucket}").stdout.splitlines()


@pytest.mark.parametrize("wrong", ["BUCKET=5x", "BUCKET=m", "BUCKET=-5m", "BUCKET=five", "SIMULATE=no"])
def test_a_wrong_value_is_named_and_nothing_starts(installed: Path, wrong: str) -> None:
    run = make(installed, "run", wrong)
    assert run.returncode == 2
    assert wrong in run.stderr
    assert run.stdout == ""


def test_settings_of_the_environment_are_passed_as_they_are(installed: Path) -> None:
    run = make(installed, "run", "SIMULATE=0", PEGEL_INGEST_PORT="9001", PEGEL_NONSENSE="$HOME 'quoted'")
    assert run.stdout.splitlines() == [
        "pegel run --no-simulate",
        "PEGEL_INGEST_PORT=9001",
        "PEGEL_NONSENSE=$HOME 'quoted'",
    ]


def test_a_failure_of_pegel_is_one_of_make_and_names_its_code(installed: Path) -> None:
    run = make(installed, "run", FAKE_CODE="1")
    assert run.returncode == 2
    assert "Error 1" in run.stderr


@pytest.mark.parametrize("arguments", [(), ("run",)])
def test_without_the_venv_module_the_package_is_named(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    for name in ("Makefile", "pyproject.toml", "requirements.lock", "requirements-dev.lock"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "deploy").mkdir()
    shutil.copy(ROOT / "deploy/install.sh", tmp_path / "deploy/install.sh")
    # Debian's python3 without python3-venv has no ensurepip.
    (tmp_path / "ensurepip.py").write_text("raise ImportError('No module named ensurepip')\n")
    commands = tmp_path / "bin"
    commands.mkdir()
    (commands / "python3.11").symlink_to(Path(sys.base_prefix) / "bin/python3")
    run = make(tmp_path, *arguments, PATH=f"{commands}:/usr/bin:/bin", PYTHONPATH=str(tmp_path))
    assert run.returncode == 2, run.stdout
    assert re.search(r"apt install python3\.1[123]-venv", run.stderr), run.stderr
    assert not (tmp_path / ".venv").exists()
