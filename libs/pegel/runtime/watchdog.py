"""Ends a process whose loop makes no progress: a restart mends what waiting does not.

A thread of its own, since what hangs may be the event loop. A loop that waits for something that is away calls
`progress` while it waits; one that is stuck does not.
"""

import faulthandler
import os
import sys
import threading
from collections.abc import Callable, Sequence

from pegel.runtime import logs, metrics
from pegel.runtime.probes import Probe

log = logs.get(__name__)
EXIT_CODE = 75
"""EX_TEMPFAIL of sysexits.h: try again."""
LOOK_SECONDS = 1.0
SEEN_STUCK = 15
"""So many looks in a row /healthz says 503 before the end: somebody may look at it; and a process that was stopped and
goes on (SIGSTOP, a suspended machine) gets the time to show that it lives."""


class Watchdog:
    """Watches the probes of the services of this process."""

    def __init__(self, probes: Sequence[Probe], end: Callable[[int], object] = os._exit) -> None:
        self._probes, self._end = probes, end
        self._stop = threading.Event()
        self._stuck = 0
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    def look(self) -> None:
        """One look; ends the process at the last of SEEN_STUCK that found it stuck."""
        stuck = []
        for probe in self._probes:
            age = probe.progress_age_seconds
            metrics.PROGRESS_SECONDS.labels(probe.service).set(age)
            if age > probe.stuck_after_seconds:
                stuck.append(f"{probe.service}: {age:.0f} s without progress, limit {probe.stuck_after_seconds:g} s")
        self._stuck = self._stuck + 1 if stuck else 0
        if self._stuck >= SEEN_STUCK:
            log.critical("stuck", reason="; ".join(stuck), setting="PEGEL_STUCK_SECONDS", exit_code=EXIT_CODE)
            faulthandler.dump_traceback(file=sys.__stderr__ or sys.stderr)
            self._end(EXIT_CODE)

    def _watch(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            self.look()
