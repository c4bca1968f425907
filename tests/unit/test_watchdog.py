"""A loop that makes no progress: it is told by /healthz first, and then the process ends."""

import subprocess
import sys
import time

import pytest

from pegel.runtime.probes import Probe
from pegel.runtime.watchdog import EXIT_CODE, SEEN_STUCK, Watchdog


def test_a_stuck_loop_is_told_and_then_the_process_ends(capfd: pytest.CaptureFixture[str]) -> None:
    ended: list[int] = []
    probe = Probe("detector", stuck_after_seconds=-1.0)
    probe.progress()
    watchdog = Watchdog([probe], ended.append)
    for _ in range(SEEN_STUCK - 1):
        watchdog.look()
        assert probe.health()[0] == 503
    assert ended == []
    watchdog.look()
    assert ended == [EXIT_CODE]
    assert "test_a_stuck_loop_is_told" in capfd.readouterr().err  # where it hangs: every thread's stack


def test_one_that_goes_on_in_time_lives() -> None:
    ended: list[int] = []
    probe = Probe("detector", stuck_after_seconds=-1.0)
    probe.progress()
    watchdog = Watchdog([probe], ended.append)
    for _ in range(SEEN_STUCK - 1):
        watchdog.look()
    probe.stuck_after_seconds = 60.0  # as after `progress`: the age is below the limit
    watchdog.look()
    probe.stuck_after_seconds = -1.0
    for _ in range(SEEN_STUCK - 1):
        watchdog.look()
    assert ended == []


def test_a_service_without_a_loop_is_not_watched() -> None:
    ended: list[int] = []
    watchdog = Watchdog([Probe("dashboard", stuck_after_seconds=0.0)], ended.append)
    for _ in range(SEEN_STUCK + 1):
        watchdog.look()
    assert ended == []


def test_a_process_whose_event_loop_hangs_ends_by_itself() -> None:
    hang = (
        "import time\n"
        "from pegel.runtime import watchdog\n"
        "from pegel.runtime.probes import Probe\n"
        "watchdog.LOOK_SECONDS = 0.01\n"
        "probe = Probe('judge', stuck_after_seconds=0.05)\n"
        "probe.progress()\n"
        "watchdog.Watchdog([probe]).start()\n"
        "time.sleep(60)\n"
    )
    done = subprocess.run([sys.executable, "-c", hang], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == EXIT_CODE
    assert "PEGEL_STUCK_SECONDS" in done.stdout + done.stderr


def test_a_part_that_is_stuck_does_not_hide_behind_one_that_goes_on() -> None:
    probe = Probe("alerter")
    probe.progress("ledger")
    stuck_since = time.monotonic()
    while time.monotonic() == stuck_since:
        pass
    probe.progress("incidents")
    assert probe.progress_age_seconds >= time.monotonic() - stuck_since - 0.001
    probe.progress("ledger")
    assert probe.progress_age_seconds <= time.monotonic() - stuck_since
