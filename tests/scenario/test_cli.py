"""The command line from outside: help, exit codes, and faults that are said in a line without a traceback."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import runs

HEAVY = ("numpy", "river", "sqlalchemy", "fastapi", "aiokafka", "polars", "pydantic", "httpx")


@pytest.fixture
def here(tmp_path: Path) -> Iterator[runs.Place]:
    with runs.place(tmp_path) as place:
        yield place


@pytest.fixture
def pegel(here: runs.Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> runs.InProcess:
    return runs.InProcess(here, monkeypatch, capsys)


HELP = """
import sys
from pegel.cli.app import main
sys.argv = ["pegel", "--help"]
try:
    main()
finally:
    print(*(name for name in sys.modules if "." not in name), file=sys.stderr)
"""
WHO = """
import sys
from pathlib import Path
from pegel.runtime.auth import Tokens
from pegel.runtime.settings import load
tokens = Tokens.load(load({}, tokens_file=Path(sys.argv[1])))
print(tokens.principal("Bearer " + sys.argv[2]), tokens.principal("Bearer other"))
"""


def test_help_imports_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0
    for command in (
        "serve",
        "run",
        "replay",
        "backtest",
        "simulate",
        "warm-start",
        "feedback",
        "audit",
        "migrate",
        "streams",
        "log",
        "token",
        "settings",
    ):
        assert command in done.stdout
    loaded = done.stderr.split()
    assert "typer" in loaded
    assert not set(HEAVY) & set(loaded)


@pytest.mark.parametrize(
    "arguments",
    [
        ("nothing",),
        ("serve", "nobody"),
        ("serve", "ingest", "--only", "counter"),
        ("replay",),
        ("replay", "no-such-file.csv"),
        ("token", "Not A Slug"),
        ("token", "desk", "--role", "king"),
        ("streams", "destroy"),
        ("feedback", "1" * 20),
        ("feedback", "1" * 20, "useless"),
        ("feedback", "1" * 20, "real", "--undo"),
        ("feedback", "1" * 20, "real", "--by", "Not A Team"),
    ],
)
def test_wrong_usage_is_exit_code_2(here: runs.Place, pegel: runs.InProcess, arguments: tuple[str, ...]) -> None:
    done = pegel(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert not list(here.folder.iterdir())


@pytest.mark.parametrize("command", [("run",), ("serve", "ingest")])
def test_every_fault_of_the_settings_is_a_line_of_its_own(pegel: runs.InProcess, command: tuple[str, ...]) -> None:
    done = pegel(*command, over={"PEGEL_CLOK": "data", "PEGEL_PARTITIONS": "0"})
    assert done.returncode == 2
    lines = done.stderr.strip().splitlines()
    assert lines[0] == "PEGEL_CLOK is not a setting of Pegel; the nearest is PEGEL_CLOCK"
    assert lines[1].startswith("PEGEL_PARTITIONS=0: ")
    assert len(lines) == 2


def test_streams_are_made_once_and_the_log_says_what_it_is(here: runs.Place) -> None:
    first, second = here.pegel("streams", "create"), here.pegel("streams", "create")
    assert first.returncode == second.returncode == 0
    assert first.stdout == second.stdout
    assert "wall clock, buckets of 60 s, delay 10 s, 4 partitions, dimensions country, topic" in first.stdout


def test_a_log_that_is_not_there_is_named_with_its_setting(here: runs.Place) -> None:
    (port,) = runs.free_ports(1)
    url = f"kafka://127.0.0.1:{port}/pegel"
    done = here.pegel("streams", "create", over={"PEGEL_LOG_URL": url, "PEGEL_INGEST_DEADLINE_SECONDS": "1"})
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith(f"PEGEL_LOG_URL={url}: ")
    assert "Traceback" not in done.stderr


def test_a_folder_that_cannot_be_written_is_named_with_its_setting(here: runs.Place) -> None:
    (here.folder / "data").write_text("a file where a folder should be")
    done = here.pegel("streams", "create")
    assert done.returncode == 2
    assert done.stderr.startswith(f"PEGEL_DATA_DIR={here.folder / 'data'}: ")
    assert "Traceback" not in done.stderr


def test_the_database_is_migrated(here: runs.Place) -> None:
    for _ in range(2):
        assert here.pegel("migrate").returncode == 0
    assert (here.folder / "data" / "pegel.sqlite").exists()


def test_a_token_and_its_entry(here: runs.Place, pegel: runs.InProcess) -> None:
    done = pegel("token", "desk-es", "--role", "viewer")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    token, entry = lines[1].strip(), json.loads(lines[3])
    assert entry == {"name": "desk-es", "role": "viewer", "sha256": hashlib.sha256(token.encode()).hexdigest()}
    assert token not in lines[3]
    assert pegel("token", "desk-es").stdout != done.stdout
    assert not list(here.folder.iterdir())


def test_the_entry_of_a_token_is_one_that_services_take(here: runs.Place, pegel: runs.InProcess) -> None:
    done = pegel("token", "desk-es")
    file = here.folder / "tokens.json"
    file.write_text('{"tokens": [' + done.stdout.splitlines()[3] + "]}")
    token = done.stdout.splitlines()[1].strip()
    said = subprocess.run([sys.executable, "-c", WHO, file, token], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "Principal(name='desk-es', role='source') None"


def test_settings_are_listed_without_their_secrets(pegel: runs.InProcess) -> None:
    over = {"PEGEL_TOKEN": "very-secret", "PEGEL_CURRENCY": "GBP"}
    table = pegel("settings", over=over)
    assert table.returncode == 0
    assert "PEGEL_BUCKET_SECONDS" in table.stdout
    assert "GBP" in table.stdout
    assert "very-secret" not in table.stdout
    values = json.loads(pegel("settings", "--json", over=over).stdout)
    assert values["PEGEL_CURRENCY"] == "GBP"
    assert values["PEGEL_BUCKET_SECONDS"] == 60
    assert "very-secret" not in str(values)
