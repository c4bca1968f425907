"""Keeps aiokafka's loggers from writing thousands of lines a second while a broker is away.

And remembers why a connection could not be made (refused, certificate, password): aiokafka's error does not say it,
only the line that it logs.
"""

import logging
import time
from collections.abc import Iterable

EVERY_SECONDS = 10.0
UNABLE = 'Unable connect to "%s:%s": %s'

_failures: dict[str, tuple[float, str]] = {}


class Quiet(logging.Filter):
    """Lets a message of a logger, told by its template, pass once in ten seconds, and counts what it left out."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, float] = {}
        self._left_out: dict[str, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        template = str(record.msg)
        now = time.monotonic()
        if template == UNABLE and isinstance(record.args, tuple):
            host, port, reason = record.args
            _failures[f"{host}:{port}"] = now, str(reason)
        if now < self._last.get(template, -EVERY_SECONDS) + EVERY_SECONDS:
            self._left_out[template] = self._left_out.get(template, 0) + 1
            return False
        self._last[template] = now
        left_out = self._left_out.pop(template, 0)
        if left_out:
            record.msg, record.args = f"{record.getMessage()} (and {left_out} more like this)", ()
        return True


def why_unable(servers: Iterable[str], seconds: float) -> str:
    """What attempts of the last seconds to connect to these servers failed of; empty when none did."""
    oldest = time.monotonic() - seconds
    known = (_failures.get(server, (0.0, "")) for server in servers)
    return "; ".join(dict.fromkeys(reason for at, reason in known if reason and at >= oldest))


def keep_quiet() -> None:
    """To be called once aiokafka is imported. A filter holds for its own logger's lines only, so each gets one."""
    for name in list(logging.root.manager.loggerDict):
        if name.split(".", 1)[0] == "aiokafka":
            logger = logging.getLogger(name)
            if not any(isinstance(present, Quiet) for present in logger.filters):
                logger.addFilter(Quiet())
