"""Whether the services' ports are free, before anything is started."""

import asyncio
import errno
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from pegel.runtime.settings import PREFIX, ConfigurationError, Settings

LEAVING_SECONDS: Final = 3.0
"""Children of a supervisor that was just killed need this long to end."""

SERVICES: Final = ("ingest", "detector", "alerter", "dashboard")


def ports_of(settings: Settings) -> Mapping[str, int]:
    """Service to port. Raises ConfigurationError where two are the same, or one is left to chance."""
    ports = {name: int(getattr(settings, f"{name}_port")) for name in SERVICES}
    faults = []
    for name, port in ports.items():
        if port == 0:
            faults.append(f"{_setting(name)}=0: give a port, so that the services find one another")
        same = [other for other, number in ports.items() if number == port != 0 and other != name]
        if same:
            faults.append(f"{_setting(name)}={port}: the port of {same[0]} is the same")
    if faults:
        raise ConfigurationError(faults)
    return ports


async def wait_until_free(settings: Settings, patience_seconds: float = LEAVING_SECONDS) -> None:
    """Raises ConfigurationError that names each port still in use after patience_seconds, and by whom."""
    ports = ports_of(settings)
    deadline = time.monotonic() + patience_seconds
    while taken := {name: port for name, port in ports.items() if not _free(settings.host, port)}:
        if time.monotonic() > deadline:
            raise ConfigurationError(
                [
                    f"{_setting(name)}={port}: port {port} of {settings.host} is in use by {holder_of(port)};"
                    f" end that, or set {_setting(name)} to another port"
                    for name, port in taken.items()
                ]
            )
        await asyncio.sleep(0.1)


def _setting(name: str) -> str:
    return f"{PREFIX}{name.upper()}_PORT"


def _free(host: str, port: int) -> bool:
    """Whether one can listen. Any fault but "in use" is left to the service, which names it."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            return error.errno != errno.EADDRINUSE
    return True


def holder_of(port: int) -> str:
    """Who listens on the port, as far as this user may see it (Linux): 'process 4711 (python -m http.server)'."""
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for folder in Path("/proc").glob("[0-9]*/fd") if sockets else ():
        try:
            if any(str(entry.readlink()) in sockets for entry in folder.iterdir()):
                command = (folder.parent / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                return f"process {folder.parent.name} ({command.strip()[:100]})"
        except OSError:
            continue  # another user's process, or one that has just ended
    return "another process"


def _listening_inodes(port: int) -> list[str]:
    found = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = Path(table).read_text("ascii").splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            columns = row.split()
            if columns[3] == "0A" and int(columns[1].rpartition(":")[2], 16) == port:
                found.append(columns[9])
    return found
