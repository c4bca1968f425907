"""`pegel run`: starts everything, ends everything, and says what went wrong. Real processes, the real services."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import runs
from support.wait import until_sync

# Five processes start in each of these, on a machine that others may use too.
pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def here(tmp_path: Path) -> Iterator[runs.Place]:
    with runs.place(tmp_path) as place:
        yield place


@pytest.fixture
def pegel(here: runs.Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> runs.InProcess:
    return runs.InProcess(here, monkeypatch, capsys)


def child(here: runs.Place, name: str) -> int:
    """The process of a service."""
    (pid,) = (pid for pid, command in here.processes().items() if f"serve {name}" in command)
    return pid


def test_it_starts_ends_with_ctrl_c_goes_on_and_leaves_nothing_behind(here: runs.Place) -> None:
    with runs.running(here, "--no-simulate") as run:
        run.ready()
        assert {here.answers(name) for name in runs.SERVICES} == {200}
        contact = {"event_id": "1", "occurred_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "country": "ES"}
        assert runs.post(here.ports["ingest"], "/v1/contacts", {**contact, "topic": "atm", "channel": "phone"}) == 202
        began = time.monotonic()
        assert run.end(signal.SIGINT) == 130
        assert time.monotonic() - began < 10
    assert f"dashboard  http://127.0.0.1:{here.ports['dashboard']}/" in run.output
    for step in ("ports free", "log in ", "ingest ready", "detector ready", "alerter ready", "dashboard ready"):
        line = next(line for line in run.output.splitlines() if line.startswith(step))
        assert line.endswith(" s")
    assert here.silent()
    assert not here.processes()
    assert "Traceback" not in run.output

    # A second run goes on where the first stopped; killed, it leaves nothing behind either.
    with runs.running(here, "--no-simulate") as again:
        again.ready()
        assert len(here.processes()) == 5
        again.end(signal.SIGKILL)
        until_sync(lambda: not here.processes(), 10)
    assert here.silent()


def test_kill_9_while_everything_starts_leaves_nothing_behind(here: runs.Place) -> None:
    with runs.running(here, "--no-simulate") as run:
        until_sync(lambda: len(here.processes()) == 5, 20)
        run.end(signal.SIGKILL)
        until_sync(lambda: not here.processes(), 20)


def test_when_one_dies_the_others_stop_and_its_last_lines_are_shown(here: runs.Place) -> None:
    with runs.running(here, "--no-simulate") as run:
        run.ready()
        os.kill(child(here, "detector"), signal.SIGKILL)
        assert run.process.wait(12) == 1
    end = run.output[run.output.rindex("detector ended") :]
    assert end.startswith("detector ended: killed by SIGKILL. Its last lines:\n")
    assert '"partition_taken"' in end
    assert not here.processes()
    assert here.silent()


def test_a_child_that_names_a_fault_of_the_configuration_ends_all_with_2(here: runs.Place) -> None:
    with runs.running(here, "--no-simulate", over={"PEGEL_CONFIG_DIR": str(here.folder / "nowhere")}) as run:
        assert run.process.wait(runs.START_SECONDS) == 2
    assert "nowhere" in run.output
    assert "Traceback" not in run.output
    assert not here.processes()


def test_a_port_in_use_is_named_with_its_setting_and_its_holder(here: runs.Place) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", here.ports["alerter"]))
        taken.listen()
        began = time.monotonic()
        done = here.pegel("run", "--no-simulate")
    assert done.returncode == 2
    assert time.monotonic() - began < 10
    port = here.ports["alerter"]
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"PEGEL_ALERTER_PORT={port}: port {port} of 127.0.0.1 is in use by process {os.getpid()} (")
    assert not (here.folder / "data").exists()


def test_a_port_that_becomes_free_is_waited_for(here: runs.Place) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", here.ports["ingest"]))
        taken.listen()
        with runs.running(here, "--no-simulate") as run:
            time.sleep(1.5)  # well within the patience for children of a supervisor that was killed
            taken.close()
            until_sync(lambda: "log in " in run.output, 15)
            assert run.end(signal.SIGTERM) == 0


@pytest.mark.parametrize(
    ("over", "said"),
    [
        ({"PEGEL_INGEST_PORT": "0"}, "PEGEL_INGEST_PORT=0"),
        ({"PEGEL_CLOCK": "data"}, "PEGEL_CLOCK=data: the simulated bank lives in the present; use `pegel run --no-sim"),
        ({"PEGEL_LOG_URL": "kafka://b:9092/p"}, "PEGEL_LOG_URL=kafka://b:9092/p: the simulated bank's contacts are ne"),
        ({"PEGEL_DATABASE_URL": "sqlite:///x"}, "PEGEL_DATABASE_URL is set"),
        ({"PEGEL_HOST": "0.0.0.0"}, "PEGEL_HOST=0.0.0.0 is not loopback, so PEGEL_TOKENS_FILE is needed"),  # noqa: S104
    ],
)
def test_what_the_demonstration_does_not_go_with(
    here: runs.Place, pegel: runs.InProcess, over: dict[str, str], said: str
) -> None:
    done = pegel("run", over=over)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not here.processes()


def test_two_services_on_one_port_are_named(here: runs.Place, pegel: runs.InProcess) -> None:
    done = pegel("run", over={"PEGEL_DASHBOARD_PORT": str(here.ports["ingest"])})
    assert done.returncode == 2
    assert f"PEGEL_DASHBOARD_PORT={here.ports['ingest']}: the port of ingest is the same" in done.stderr


def test_a_log_of_the_other_clock_stops_the_start_and_the_ways_out_are_named(here: runs.Place) -> None:
    assert here.pegel("streams", "create").returncode == 0
    done = here.pegel("run", "--no-simulate", over={"PEGEL_CLOCK": "data"})
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert lines[0].startswith("PEGEL_CLOCK=data, but the log sqlite:///")
    assert lines[0].endswith("was made with wall")
    assert "PEGEL_CLOCK=wall" in lines[1]
    assert "another PEGEL_DATA_DIR" in lines[1]
    assert not here.processes()


def test_a_program_that_reads_no_more_ends_it(here: runs.Place) -> None:
    # `pegel run | head -1`: nobody reads the lines, so nobody is in front of it any more.
    process = subprocess.Popen(
        [sys.executable, "-m", "pegel", "run", "--no-simulate"],
        cwd=here.folder,
        env=here.env(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"ports free")
        process.stdout.close()
        assert process.stderr is not None
        said = process.stderr.read()
        assert process.wait(30) == 0
    until_sync(lambda: not here.processes(), 15)
    assert b"Traceback" not in said
