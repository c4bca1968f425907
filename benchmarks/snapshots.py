"""What snapshots cost: the counter from a real Kafka to counts, with a snapshot as often as it may, beside one without.

    PYTHONPATH=tests python benchmarks/snapshots.py [--contacts 600000] [--rounds 3]

Both count the same contacts, in turn; contacts a CPU second by getrusage (encoding in threads included), each best of
its rounds. PEGEL_SNAPSHOT_SECONDS is 0.1 with them, which is as often as twenty times the time of the last allows.
Prints one JSON line; exit code 1 when they cost more than a tenth of the throughput, or none was saved.
"""

import argparse
import asyncio
import gc
import json
import tempfile
from typing import Final

from counter import BATCH, counted, fill

from pegel.eventlog import metrics
from pegel.eventlog.connect import connect
from pegel.eventlog.identity import open_identity
from pegel.runtime import logs
from pegel.runtime.settings import load
from support import servers

REQUIRED: Final = 0.10
NEVER_SECONDS: Final = 3600.0
ALWAYS_SECONDS: Final = 0.1


def saved() -> float:
    found: float = metrics.SNAPSHOTS.labels("counter")._value.get()
    return found


async def measure(bootstrap: str, contacts: int, rounds: int) -> tuple[float, float, int]:
    """Best contacts a CPU second without and with snapshots; how many were saved under load."""
    best = {NEVER_SECONDS: 0.0, ALWAYS_SECONDS: 0.0}
    under_load = 0.0
    for number in range(rounds):
        for seconds in (NEVER_SECONDS, ALWAYS_SECONDS):
            settings = load(
                {},
                log_url=f"kafka://{bootstrap}/bench{number}-{seconds:g}",
                clock="data",
                data_dir=tempfile.gettempdir(),
                snapshot_seconds=seconds,
            )
            log = connect(settings)
            await open_identity(log, settings)
            await fill(log, settings, contacts)
            await log.close()
            gc.collect()
            before = saved()
            best[seconds] = max(best[seconds], contacts / await counted(settings, contacts))
            if seconds == ALWAYS_SECONDS:
                under_load += saved() - before - settings.partitions  # each saves one at the end in any case
    return best[NEVER_SECONDS], best[ALWAYS_SECONDS], round(under_load)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contacts", type=int, default=600_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    logs.configure("bench", level="critical")
    gc.set_threshold(50_000, 20, 20)
    with servers.kafka() as bootstrap:
        contacts = arguments.contacts // BATCH * BATCH
        without, with_them, snapshots = asyncio.run(measure(bootstrap, contacts, arguments.rounds))
    overhead = 1 - with_them / without
    line = {
        "name": "snapshots_overhead",
        "value": round(overhead, 3),
        "unit": "share of the counter's contacts a CPU second",
        "ratio": round(with_them / without, 3),
        "ratio_to": f"the counter without snapshots, same run: {without:.0f} contacts/CPU s",
        "required": REQUIRED,
        "snapshots": snapshots,
    }
    print(json.dumps(line), flush=True)
    return 0 if overhead <= REQUIRED and snapshots > 0 else 1


if __name__ == "__main__":
    raise SystemExit(main())
