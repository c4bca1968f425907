"""schemathesis against a running service, as anybody would run it from outside: with all checks."""

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).resolve().parents[1]


async def explore(
    url: str,
    folder: Path,
    *,
    headers: Mapping[str, str] | None = None,
    exclude_checks: Sequence[str] = (),
    max_examples: int = 25,
) -> None:
    """Fails with schemathesis' own report when the service at `url` breaks what its /openapi.json says.

    folder: where its files go. exclude_checks: by name; say at the call why.
    """
    arguments = [
        str(Path(sys.executable).with_name("schemathesis")), "run", f"{url}/openapi.json",
        "--checks", "all", "--max-examples", str(max_examples), "--no-color",
        "--generation-deterministic",
    ]  # fmt: skip
    for check in exclude_checks:
        arguments += ["--exclude-checks", check]
    for name, value in (headers or {}).items():
        arguments += ["--header", f"{name}: {value}"]
    environment = {**os.environ, "PYTHONPATH": str(TESTS), "SCHEMATHESIS_HOOKS": "support.openapi_hooks"}
    process = await asyncio.create_subprocess_exec(
        *arguments, cwd=folder, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, output.decode()
