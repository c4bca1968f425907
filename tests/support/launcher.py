"""`pegel`, with faults built in from outside: it dies or sleeps at a named point, or has a clock that is off.

    python -m support.launcher [--crash "after append counts:3"]... [--sleep "before append counts:3"] -- serve detector

The product knows nothing of this: what it calls is wrapped where it meets a port.
Points are passed `before` and `after`:

    append contacts | rejected | counts | windows | linked       an append of outputs to this stream
    append claim | chunk | manifest                              an append to the stream state, by what it holds
    append claim on counts | windows | rejected | linked         a claim on a stream of outputs
    move incidents | ledger                                      of the alerter's position, in its transaction
    effect incidents | ledger                                    the effect, in the same transaction, before its commit
    apply incidents | ledger                                     the whole transaction: `after` it is committed
    claim | send | settle webhook                                the three steps of a page on its way out

What sleeps (SIGSTOP) and is woken by SIGCONT goes on as another build that counts and judges differently: what it still
writes under the claims it had says twice as much, and says one thing more.
"""

import argparse
import functools
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from typing import Any, Final

from pegel.cli.app import main
from pegel.eventlog import connect as connecting
from pegel.eventlog.port import STATE, Appended, EventLog, NewRecord
from pegel.runtime.settings import Settings

MORE: Final = 10**9
"""What a woken sleeper writes too much has an id so much higher: by its id alone nobody would drop it."""


def put(owner: Any, **replacements: Any) -> None:
    """In place of what a module or class has under these names."""
    for name, replacement in replacements.items():
        setattr(owner, name, replacement)


class Crashes:
    """Which points end the process, or put it to sleep, and at which passing: 'after append counts' to 3."""

    def __init__(self, deadly: Mapping[str, int], sleepy: Mapping[str, int]) -> None:
        self._deadly, self._sleepy, self._passed = deadly, sleepy, Counter[str]()
        self.slept = False

    def pass_by(self, point: str) -> None:
        self._passed[point] += 1
        if self._deadly.get(point) == self._passed[point]:
            os.kill(os.getpid(), signal.SIGKILL)
        if self._sleepy.get(point) == self._passed[point]:
            self.slept = True
            os.kill(os.getpid(), signal.SIGSTOP)

    def around(self, what: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """The function with a point before it and one after."""

        @functools.wraps(call)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self.pass_by(f"before {what}")
            found = call(*args, **kwargs)
            self.pass_by(f"after {what}")
            return found

        return wrapped

    def around_async(self, what: str, call: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        @functools.wraps(call)
        async def wrapped(*args: Any, **kwargs: Any) -> Any:
            self.pass_by(f"before {what}")
            found = await call(*args, **kwargs)
            self.pass_by(f"after {what}")
            return found

        return wrapped


class CrashingLog:
    """A log whose appends are points. Woken from a sleep, it writes wrong things under the claims it had."""

    def __init__(self, log: EventLog, crashes: Crashes) -> None:
        self._log, self._crashes = log, crashes
        self._claims: set[tuple[str, int]] = set()
        """Producer and epoch of what was written before the sleep."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    async def append(self, stream: str, partition: int, records: Sequence[NewRecord]) -> Sequence[Appended]:
        kind = kind_of(records[0].value)
        what = kind if stream == STATE else f"claim on {stream}" if kind == "claim" else stream
        if not self._crashes.slept:
            self._claims.update(place for record in records if (place := claim_of(record.value)))
        self._crashes.pass_by(f"before append {what}")
        if self._crashes.slept:
            records = [wrong for record in records for wrong in self._wrong(record)]
        placed = await self._log.append(stream, partition, records)
        self._crashes.pass_by(f"after append {what}")
        return placed

    def _wrong(self, record: NewRecord) -> list[NewRecord]:
        if claim_of(record.value) not in self._claims:
            return [record]
        said = json.loads(record.value)
        if "additions" in said:
            said["additions"]["contacts"] = [2 * number for number in said["additions"]["contacts"]]
        twice = NewRecord(json.dumps(said, separators=(",", ":")).encode(), record.key, record.headers)
        said["origin"]["offset"] += MORE
        return [twice, NewRecord(json.dumps(said, separators=(",", ":")).encode(), record.key, record.headers)]


def claim_of(value: bytes) -> tuple[str, int] | None:
    """Producer and epoch of an output; None of what is none."""
    try:
        origin = json.loads(value)["origin"]
        return origin["producer"], origin["epoch"]
    except (ValueError, KeyError, TypeError):
        return None


def kind_of(value: bytes) -> str:
    """The kind of a record; of one on the stream state that is no JSON: chunk."""
    try:
        return str(json.loads(value)["kind"])
    except (ValueError, KeyError, TypeError):
        return "chunk"


def crash_log(crashes: Crashes) -> None:
    """Every service connects by this function, which none has imported yet."""
    original = connecting.connect

    def connect(settings: Settings) -> Any:
        return CrashingLog(original(settings), crashes)

    put(connecting, connect=connect)


def crash_alerter(crashes: Crashes) -> None:
    """The alerter's transactions and its pages on their way out."""
    from pegel.alerter.database import positions  # noqa: PLC0415 (only an alerter has these)
    from pegel.alerter.incidents.pipeline.rising import Rising  # noqa: PLC0415
    from pegel.alerter.ledger.pipeline import Booking  # noqa: PLC0415
    from pegel.alerter.paging.adapters.webhook import WebhookNotifier  # noqa: PLC0415
    from pegel.alerter.paging.pipeline import Sender  # noqa: PLC0415
    from pegel.alerter.windows.consumer import Consumer  # noqa: PLC0415

    move, apply, claim, settle = positions.move, Consumer._apply, Sender._claim, Sender._settle

    def moving(connection: Any, consumer: str, *args: Any) -> None:
        crashes.around(f"move {consumer}", move)(connection, consumer, *args)

    def applying(self: Any, *args: Any) -> Any:
        return crashes.around(f"apply {self.name}", apply)(self, *args)

    def claiming(self: Any) -> Any:
        crashes.pass_by(f"before claim {self.receiver}")
        due = claim(self)
        if due is not None:
            crashes.pass_by(f"after claim {self.receiver}")
        return due

    def settling(self: Any, *args: Any) -> Any:
        return crashes.around(f"settle {self.receiver}", settle)(self, *args)

    put(positions, move=moving)
    put(Consumer, _apply=applying)
    put(Sender, _claim=claiming, _settle=settling)
    put(Rising, __call__=crashes.around("effect incidents", Rising.__call__))
    put(Booking, __call__=crashes.around("effect ledger", Booking.__call__))
    put(WebhookNotifier, send=crashes.around_async("send webhook", WebhookNotifier.send))


def other_model(version: str) -> None:
    """The next release's model: it says another version, so no snapshot of this one is its own."""
    from pegel.detector.judge.domain.models.kernel import Kernel  # noqa: PLC0415

    put(Kernel, version=version)


def other_state(version: str) -> None:
    """The next release's state of the counter: snapshots of this one are not its own."""
    from pegel.detector.counter.domain import counting  # noqa: PLC0415

    put(counting, STATE_VERSION=version)


def clock_off(seconds: float) -> None:
    """This process's clock is off by so much, wherever it is read."""
    import time  # noqa: PLC0415

    real, real_ns = time.time, time.time_ns
    put(time, time=lambda: real() + seconds, time_ns=lambda: real_ns() + round(seconds * 1e9))

    class Shifted(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(seconds=seconds)

    from pegel.ingest.http import routes  # noqa: PLC0415

    put(routes, datetime=Shifted)


def quick_sessions(seconds: float) -> None:
    """The broker takes a member that died for dead after so long, not after 10 s (its own settings allow it)."""
    from pegel.eventlog.kafka import reader  # noqa: PLC0415

    original = vars(reader)["AIOKafkaConsumer"]

    def consumer(**options: Any) -> Any:
        if "group_id" in options:
            options["session_timeout_ms"] = round(seconds * 1000)
        return original(**options)

    put(reader, AIOKafkaConsumer=consumer)


def run(arguments: Sequence[str]) -> None:
    """Build the faults in and run the command."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--crash", action="append", default=[])
    parser.add_argument("--sleep", action="append", default=[])
    parser.add_argument("--model-version")
    parser.add_argument("--state-version")
    parser.add_argument("--clock-off", type=float, default=0.0)
    parser.add_argument("--session-seconds", type=float)
    parser.add_argument("command", nargs="+")
    given = parser.parse_args(arguments)
    if given.crash or given.sleep:
        crashes = Crashes(_points(given.crash), _points(given.sleep))
        crash_log(crashes)
        if "alerter" in given.command:
            crash_alerter(crashes)
    if given.model_version:
        other_model(given.model_version)
    if given.state_version:
        other_state(given.state_version)
    if given.session_seconds:
        quick_sessions(given.session_seconds)
    if given.clock_off:
        clock_off(given.clock_off)
    sys.argv = ["pegel", *given.command]
    main()


def _points(given: Sequence[str]) -> dict[str, int]:
    points = (point.rpartition(":") for point in given)
    return {point: int(number) for point, _, number in points}


if __name__ == "__main__":
    run(sys.argv[1:])
