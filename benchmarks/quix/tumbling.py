"""Quix Streams' tumbling count, its defaults: contacts keyed by segment in, one count a segment and minute out.

    .cache/quix-venv/bin/python benchmarks/quix/tumbling.py BOOTSTRAP TOPIC MESSAGES

Run by benchmarks/counter.py in an environment of its own (requirements.lock beside this file). Prints a JSON line: the
messages counted and the CPU seconds of this process from the first of them to the last.
"""

import json
import resource
import sys
import tempfile

from quixstreams import Application  # type: ignore[import-not-found]


def cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> int:
    bootstrap, topic, messages = sys.argv[1], sys.argv[2], int(sys.argv[3])
    seen, began, used = 0, 0.0, 0.0

    def processed(_topic: str, _partition: int, _offset: int) -> None:
        nonlocal seen, began, used
        seen += 1
        if seen == 1:
            began = cpu_seconds()
        elif seen == messages:
            used = cpu_seconds() - began
            app.stop()

    with tempfile.TemporaryDirectory(prefix="pegel-quix-") as folder:
        app = Application(
            broker_address=bootstrap,
            consumer_group=f"{topic}-quix",
            auto_offset_reset="earliest",
            state_dir=folder,
            on_message_processed=processed,
            loglevel="ERROR",
        )
        counts = app.topic(f"{topic}-counts")
        app.dataframe(app.topic(topic)).tumbling_window(duration_ms=60_000).count().final().to_topic(counts)
        app.run()
    print(json.dumps({"messages": seen, "cpu_seconds": round(used, 3)}))
    return 0 if used else 1


if __name__ == "__main__":
    raise SystemExit(main())
