"""What Pegel costs while nothing happens: memory (PSS) and processor of all services, and how soon the dashboard shows.

    python benchmarks/idle.py [--seconds 60]

Starts `pegel run --no-simulate` from this environment in a folder of its own, sends one contact, asks for the chart of
what it cost, waits, and reads /proc of the supervisor and its children. One JSON line a figure; exit code 1 when one
is missed.
"""

import argparse
import html
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

PSS_MB_MAX = 550
IDLE_SHARE_MAX = 0.05
START_SECONDS_MAX = 10.0
NAMES = ("DASHBOARD", "INGEST", "DETECTOR", "ALERTER")


def free_ports(count: int) -> list[int]:
    """Ports that were free just now."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


def get(port: int, path: str) -> tuple[int, bytes]:
    """Status and body; 0 while nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except OSError:
        return 0, b""
    finally:
        connection.close()


def send_contact(port: int) -> None:
    """One contact, now."""
    now = datetime.now(UTC).isoformat()
    body = {"event_id": "1", "occurred_at": now, "country": "ES", "topic": "atm", "channel": "phone"}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("POST", "/v1/contacts", json.dumps(body), {"Content-Type": "application/json"})
    if connection.getresponse().status != 202:
        raise SystemExit("ingest did not take a contact")
    connection.close()


def wait_for_chart(port: int) -> str:
    """The path of the chart on the page, once the contact is booked."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        parts = get(port, "/")[1].decode().split('src="')[1:]
        chart = next((html.unescape(part.split('"')[0]) for part in parts if part.startswith("/charts/")), None)
        if chart:
            return chart
        time.sleep(2)
    raise SystemExit("the dashboard shows no chart")


def family(root: int) -> list[int]:
    """The process and all its descendants."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(folder.name))
    found, waiting = [], [root]
    while waiting:
        found.append(waiting.pop())
        waiting += children.get(found[-1], [])
    return found


def pss_mb(pids: Iterable[int]) -> float:
    """Proportional set size: memory that is shared counts in parts."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total / 1024


def cpu_seconds(pids: Iterable[int]) -> float:
    ticks = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def tell(name: str, value: float, unit: str, limit: float) -> bool:
    line = {
        "name": name,
        "value": round(value, 3),
        "unit": unit,
        "ratio": round(value / limit, 3),
        "ratio_to": f"limit {limit}",
    }
    print(json.dumps(line), flush=True)
    return value <= limit


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    seconds = parser.parse_args().seconds
    ports = free_ports(len(NAMES))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PEGEL_")}
    environment |= {f"PEGEL_{name}_PORT": str(port) for name, port in zip(NAMES, ports, strict=True)}
    with tempfile.TemporaryDirectory() as folder:
        environment["PEGEL_DATA_DIR"] = folder
        began = time.monotonic()
        run = subprocess.Popen(
            [sys.executable, "-m", "pegel", "run", "--no-simulate"],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            while get(ports[0], "/")[0] != 200:
                if run.poll() is not None or time.monotonic() - began > 120:
                    raise SystemExit("pegel run did not show its dashboard")
                time.sleep(0.05)
            shown = time.monotonic() - began
            while any(get(port, "/readyz")[0] != 200 for port in ports):
                time.sleep(0.2)
            send_contact(ports[1])
            chart = wait_for_chart(ports[0])
            drawn = get(ports[0], chart)[0] == 200
            time.sleep(seconds / 2)
            pids = family(run.pid)
            before, at = cpu_seconds(pids), time.monotonic()
            time.sleep(seconds / 2)
            share = (cpu_seconds(pids) - before) / (time.monotonic() - at)
            memory = pss_mb(pids)
        finally:
            run.send_signal(signal.SIGINT)
            run.wait(30)
    good = [
        tell("dashboard_shown_after", shown, "s", START_SECONDS_MAX),
        drawn and tell("idle_memory_pss", memory, "MB", PSS_MB_MAX),
        tell("idle_processor", share, "of a core", IDLE_SHARE_MAX),
    ]
    return 0 if all(good) else 1


if __name__ == "__main__":
    raise SystemExit(main())
