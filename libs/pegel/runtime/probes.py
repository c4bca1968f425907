"""Whether a service lives and is ready: what /healthz and /readyz say.

Liveness looks at nothing outside the process but its own progress; readiness is false while starting, restoring and
draining. A dependency that is away stands in the body and in pegel_dependency_up; it does not take the service away.
"""

import time
from dataclasses import dataclass, field

from pegel.runtime import metrics


@dataclass(slots=True)
class Probe:
    """The state of one service, which may have several parts (loops); it is ready when all of them are."""

    service: str
    stuck_after_seconds: float = 120.0
    parts: tuple[str, ...] = ("service",)
    draining: bool = False
    dependencies: dict[str, str | None] = field(default_factory=dict)
    """Name to None when it answers, else to what is wrong, in a sentence without customer, team or money."""
    _waiting: dict[str, str] = field(default_factory=dict)
    _progress: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._waiting = dict.fromkeys(self.parts, "starting")

    @property
    def waiting_for(self) -> str | None:
        """Why it isn't ready, None when it is."""
        return "; ".join(dict.fromkeys(self._waiting.values())) or None

    def ready(self, part: str = "service") -> None:
        self._waiting.pop(part, None)

    def wait_for(self, what: str, part: str = "service") -> None:
        self._waiting[part] = what

    def progress(self, part: str = "service") -> None:
        """Call in each turn of a part's loop; a part that never calls is not watched."""
        self._progress[part] = time.monotonic()

    def dependency(self, name: str, fault: str | None) -> None:
        """Note that a dependency answers (fault None) or what is wrong with it."""
        self.dependencies[name] = fault
        metrics.DEPENDENCY_UP.labels(name).set(fault is None)

    @property
    def progress_age_seconds(self) -> float:
        """Seconds since the part that is furthest behind made progress."""
        seen = list(self._progress.values())  # a copy: the watchdog asks from a thread of its own
        return time.monotonic() - min(seen) if seen else 0.0

    def health(self) -> tuple[int, dict[str, object]]:
        """Status and body of /healthz."""
        age = self.progress_age_seconds
        metrics.PROGRESS_SECONDS.labels(self.service).set(age)
        if age > self.stuck_after_seconds:
            return 503, {"status": "stuck", "progress_age_seconds": round(age, 1)}
        return 200, {"status": "ok"}

    def readiness(self) -> tuple[int, dict[str, object]]:
        """Status and body of /readyz."""
        state = "draining" if self.draining else "ready" if self.waiting_for is None else "waiting"
        metrics.READY.labels(self.service).set(state == "ready")
        body: dict[str, object] = {
            "status": state,
            "waiting_for": self.waiting_for,
            "dependencies": {name: fault or "ok" for name, fault in sorted(self.dependencies.items())},
        }
        return (200 if state == "ready" else 503), body
