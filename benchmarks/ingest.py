# ruff: noqa: PLC0415 (a script; each worker imports only what it serves)
"""Speed of ingest: one uvicorn worker on a real Kafka, held against bare handlers in the same run.

`PYTHONPATH=tests python benchmarks/ingest.py [--seconds 4] [--rounds 3]` prints one JSON line a figure: name, value,
unit, ratio to the bare limit, requirement. Needs Java and Maven (deploy/dev/kafka). Exit code 1 if one is missed.

Each worker is a process of its own whose CPU seconds are read from /proc; the clients are this process, which sends
requests that were made before. On two cores client, worker and broker share the machine, so rates are what this machine
gives, and CPU seconds what the worker costs.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import uvloop

from support import servers

HERE: Final = Path(__file__).resolve()
BATCH: Final = 500
PARTITIONS: Final = 4
TOPICS: Final = ("atm", "cards", "login", "transfer", "loan", "account", "app", "fraud")
COUNTRIES: Final = ("ES", "PT", "GB", "PL", "DE", "TR", "US", "MX", "BR", "AR", "CL", "CO")


Target = tuple[int, int]
"""Port and process id of a worker."""


@dataclass(frozen=True)
class Load:
    """What a worker did: per second, per CPU second of its own, and how long the answers took (seconds, sorted)."""

    requests: int
    seconds: float
    cpu_seconds: float
    latencies: list[float]

    @property
    def rate(self) -> float:
        return self.requests / self.seconds

    @property
    def per_cpu_second(self) -> float:
        return self.requests / self.cpu_seconds

    def quantile_ms(self, share: float) -> float:
        return self.latencies[min(len(self.latencies) - 1, int(share * len(self.latencies)))] * 1000


def contact(number: int) -> dict[str, Any]:
    """A contact of about 290 bytes, with a customer and handling, as a desk sends it."""
    return {
        "event_id": str(uuid.uuid4()),
        "occurred_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "country": COUNTRIES[number % len(COUNTRIES)],
        "topic": TOPICS[number % len(TOPICS)],
        "channel": "phone",
        "handler": "partner",
        "customer": f"c{number:08d}",
        "outcome": "answered",
        "handled_seconds": 240 + number % 300,
    }


def request(port: int, path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def load(target: Target, path: str, bodies: list[bytes], connections: int, seconds: float) -> Load:
    """Send the bodies in turn over so many connections; the first second is not counted."""
    port, pid = target
    requests = [request(port, path, body) for body in bodies]
    latencies: list[float] = []
    begin = time.perf_counter() + 1.0
    end = begin + seconds

    async def client(place: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
        while (sent := time.perf_counter()) < end:
            writer.write(requests[place % len(requests)])
            place += 1
            head = await reader.readuntil(b"\r\n\r\n")
            status = head[9:12]
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            answer = await reader.readexactly(length)
            if status != b"202":
                raise RuntimeError(f"{path}: {status.decode()} {answer[:300]!r}")
            if sent >= begin:
                latencies.append(time.perf_counter() - sent)
        writer.close()

    async def measured() -> float:
        await asyncio.sleep(begin - time.perf_counter())
        before = cpu_seconds(pid)
        await asyncio.sleep(end - time.perf_counter())
        return cpu_seconds(pid) - before

    results = await asyncio.gather(measured(), *(client(place * 7) for place in range(connections)))
    return Load(len(latencies), seconds, results[0] or 0.0, sorted(latencies))


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, from /proc."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def worker(name: str, bootstrap: str, folder: Path) -> Iterator[Target]:
    """A worker process, once it answers."""
    port = servers.free_port()
    arguments: list[str | Path] = [
        sys.executable,
        HERE,
        "--worker",
        name,
        "--port",
        str(port),
        "--bootstrap",
        bootstrap,
        "--folder",
        folder,
    ]
    output = folder / f"{name}.log"
    with servers.process(arguments, output) as child:
        servers.wait_ready(child, f"http://127.0.0.1:{port}/readyz", output)
        yield port, child.pid


def serve_pegel(port: int, bootstrap: str, folder: Path) -> int:
    from pegel.ingest.app import build
    from pegel.runtime.serve import serve
    from pegel.runtime.settings import load as load_settings

    key = folder / "pseudonym.key"
    key.write_text("0" * 64)
    settings = load_settings(
        {},
        data_dir=folder,
        log_url=f"kafka://{bootstrap}/bench",
        pseudonym_key_file=key,
        ingest_port=port,
        partitions=PARTITIONS,
        drain_seconds=0,
    )
    return serve([build(settings)], settings)


def serve_plain(port: int, bootstrap: str) -> int:
    """What one would write first: the same model, and aiokafka's send for each record, awaited; and a no-op handler."""
    import gc
    from contextlib import asynccontextmanager

    import uvicorn
    from aiokafka import AIOKafkaProducer
    from fastapi import FastAPI, Request, Response
    from pydantic import TypeAdapter

    from pegel.schemas.contact import Contact

    producers: list[AIOKafkaProducer] = []
    many = TypeAdapter(list[Contact])

    @asynccontextmanager
    async def lifespan(_: FastAPI):  # type: ignore[no-untyped-def]
        producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, compression_type="lz4", linger_ms=5
        )
        await producer.start()
        producers.append(producer)
        yield
        await producer.stop()

    app = FastAPI(lifespan=lifespan)

    @app.get("/readyz")
    async def ready() -> Response:
        return Response(b"{}")

    @app.post("/plain")
    async def plain(request: Request) -> Response:
        contacts = many.validate_json(await request.body())
        sends = [
            await producers[0].send(
                "bench.contacts", each.model_dump_json(exclude_none=True).encode(), key=each.event_id.encode()
            )
            for each in contacts
        ]
        await asyncio.gather(*sends)
        return Response(b'{"accepted":%d}' % len(contacts), 202, media_type="application/json")

    @app.post("/noop")
    async def noop(request: Request) -> Response:
        await request.body()
        return Response(b'{"accepted":1}', 202, media_type="application/json")

    gc.set_threshold(50_000, 20, 20)
    uvicorn.run(app, port=port, loop="uvloop", http="httptools", access_log=False, log_level="warning")
    return 0


def measure(seconds: float, rounds: int) -> Iterator[dict[str, Any]]:
    """The figures. Ours and the bare limit take turns; each gives its best round, since all else here only slows."""
    batches = [json.dumps([contact(place * BATCH + i) for i in range(BATCH)]).encode() for place in range(16)]
    singles = [json.dumps(contact(i)).encode() for i in range(256)]
    loads: defaultdict[str, list[Load]] = defaultdict(list)

    with tempfile.TemporaryDirectory(prefix="pegel-bench-") as name, servers.kafka() as bootstrap:
        folder = Path(name)
        with worker("pegel", bootstrap, folder) as ours, worker("plain", bootstrap, folder) as bare:
            turns = [
                ("batches", ours, "/v1/contacts", batches, 8),
                ("plain", bare, "/plain", batches, 8),
                ("singles", ours, "/v1/contacts", singles, 64),
                ("noop", bare, "/noop", singles, 64),
            ]
            for _ in range(rounds):
                for what, target, path, bodies, connections in turns:
                    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                        loads[what].append(runner.run(load(target, path, bodies, connections, seconds)))

    def best(what: str, figure: Callable[[Load], float]) -> float:
        return max(figure(each) for each in loads[what])

    def rate(each: Load) -> float:
        return each.rate

    def per_cpu_second(each: Load) -> float:
        return each.per_cpu_second

    cpu = best("batches", per_cpu_second) * BATCH
    yield {
        "name": "ingest_batches_per_cpu_second",
        "value": round(cpu),
        "unit": "contacts/s",
        "ratio": round(cpu / BATCH / best("plain", per_cpu_second), 2),
        "limit": "a plain handler, per CPU second",
        "required": "value >= 30000",
        "met": cpu >= 30_000,
    }
    ratio = best("batches", rate) / best("plain", rate)
    yield {
        "name": "ingest_batches",
        "value": round(best("batches", rate) * BATCH),
        "unit": "contacts/s",
        "ratio": round(ratio, 2),
        "limit": "a plain handler",
        "required": "ratio >= 1.3",
        "met": ratio >= 1.3,
    }
    p99, p99_plain = (min(each.quantile_ms(0.99) for each in loads[what]) for what in ("batches", "plain"))
    yield {
        "name": "ingest_batches_p99",
        "value": round(p99, 1),
        "unit": "ms",
        "ratio": round(p99 / p99_plain, 2),
        "limit": "a plain handler",
        "required": "value <= 150",
        "met": p99 <= 150,
    }
    ratio = best("singles", rate) / best("noop", rate)
    yield {
        "name": "ingest_singles",
        "value": round(best("singles", rate)),
        "unit": "requests/s",
        "ratio": round(ratio, 2),
        "limit": "a handler that does nothing",
        "required": "ratio >= 0.5",
        "met": ratio >= 0.5,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=4, help="of each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--worker", choices=["pegel", "plain"])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--bootstrap", default="")
    parser.add_argument("--folder", type=Path, default=Path())
    given = parser.parse_args()
    if given.worker:
        if given.worker == "pegel":
            return serve_pegel(given.port, given.bootstrap, given.folder)
        return serve_plain(given.port, given.bootstrap)
    missed = 0
    for fact in measure(given.seconds, given.rounds):
        print(json.dumps(fact), flush=True)
        missed += not fact["met"]
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
