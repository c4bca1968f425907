"""Memory of exact de-duplication: bytes an event when ten million are remembered, spread over a week or in one hour.

    python benchmarks/deduplication.py [--events 10000000]

Feeds identities to what the counter remembers them with, in a process of its own for each figure: resident memory
after, less before, nothing trimmed. Then looks up what came first, last and between, and what never came, and amends a
third. Prints one JSON line a figure; exit code 1 when the requirement is missed or an answer is wrong.
"""

import argparse
import gc
import json
import subprocess
import sys
import time
from hashlib import blake2b
from pathlib import Path

from pegel.detector.counter.domain.known import Known

REQUIRED_BYTES = 32
EVENTS = 10_000_000
HORIZON_HOURS = 168
BATCH = 4_096


def resident_bytes() -> int:
    """What the process has in memory."""
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("/proc/self/status has no VmRSS")


def identity(number: int) -> bytes:
    return blake2b(b"bench\0%d" % number, digest_size=16).digest()


def feed(known: Known, first: int, last: int, hours: int, each_hour: int, cutoff_hours: int) -> None:
    """Note identities first to last, as the counter does: batch by batch, each looked up before."""
    for begin in range(first, last, BATCH):
        numbers = range(begin, min(begin + BATCH, last))
        identities = [identity(number) for number in numbers]
        found = known.find(identities)
        for number, each in zip(numbers, identities, strict=True):
            if each in known.open or each in found:
                raise SystemExit(f"{number} is new and was found")
            known.open[each] = (number, number % 1000, number // each_hour)
        hour = numbers[-1] // each_hour
        known.settle(hour, max(0, hour - cutoff_hours) if hours > 1 else 0)


def check(known: Known, oldest: int, end: int) -> None:
    """That what is remembered is right, and stays so when some of it is amended. Raises SystemExit."""

    def entry(number: int) -> tuple[int, int] | None:
        each = identity(number)
        found = known.open.get(each) or known.find([each]).get(each)
        return None if found is None else (found[0], found[1])

    numbers = sorted({oldest, end - 1, *range(oldest, end, max(1, (end - oldest) // 3_000))})
    for number in numbers:
        if entry(number) != (number, number % 1000):
            raise SystemExit(f"{number} is remembered as {entry(number)}")
    for number in range(end, end + 1000):
        if entry(number) is not None:
            raise SystemExit(f"{number} never came and was found")
    amended = set(numbers[::3])
    for number in amended:
        known.amend(identity(number), known.find([identity(number)]), 7 * number, 77)
    for number in numbers:
        if entry(number) != ((7 * number, 77) if number in amended else (number, number % 1000)):
            raise SystemExit(f"{number} is remembered as {entry(number)} after amendments")


def measure(case: str, events: int) -> dict[str, object]:
    """One figure, in this process. week: as many events again have passed through the horizon and expired."""
    feed(Known(), 0, 5_000, 1, events, 0)  # whatever is loaded and allocated once
    gc.collect()
    known, before = Known(), resident_bytes()
    each_hour = events if case == "hour" else events // HORIZON_HOURS + 1
    end = events if case == "hour" else events * 3 // 2
    hours = 1 if case == "hour" else HORIZON_HOURS
    began = time.process_time()
    feed(known, 0, end, hours, each_hour, HORIZON_HOURS)
    seconds = time.process_time() - began
    gc.collect()
    used = resident_bytes() - before
    oldest = 0 if case == "hour" else max(0, (end - 1) // each_hour - HORIZON_HOURS) * each_hour
    kept = end - oldest
    check(known, oldest, end)
    return {
        "name": f"deduplication_bytes_an_event_{case}",
        "value": round(used / kept, 2),
        "unit": "bytes",
        "ratio": round(used / kept / REQUIRED_BYTES, 3),
        "ratio_to": f"limit {REQUIRED_BYTES}",
        "required": REQUIRED_BYTES,
        "events": kept,
        "us_an_event": round(seconds / end * 1e6, 2),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=EVENTS)
    parser.add_argument("--case", choices=["hour", "week"])
    arguments = parser.parse_args()
    if arguments.case:
        print(json.dumps(measure(arguments.case, arguments.events)), flush=True)
        return 0
    missed = 0
    for case in ("hour", "week"):
        command = [sys.executable, __file__, "--case", case, "--events", str(arguments.events)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        print(done.stdout, end="", flush=True)
        missed += done.returncode != 0 or json.loads(done.stdout)["value"] > REQUIRED_BYTES
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
