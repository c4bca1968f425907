"""The alerter keeps what its OpenAPI document says, whatever it is asked: schemathesis with all checks."""

from pathlib import Path

import pytest

from pegel.eventlog.memory import MemoryLog
from pegel.runtime.auth import Principal, Tokens, hashed
from pegel.runtime.settings import Settings
from support.alerters import listening
from support.openapi import explore
from support.windows import Windows, append, cell


@pytest.mark.timeout(240)
async def test_the_alerter_keeps_its_word(tmp_path: Path) -> None:
    settings, log, windows = Settings(data_dir=tmp_path), MemoryLog(), Windows()
    tokens = Tokens([(hashed("t"), Principal("test", "admin"))])
    async with listening(settings, log, tokens=tokens) as (running, port):
        for number in range(5):
            spikes = [windows.spike(segment=(place, "atm"), spike_id=f"{number}{place}") for place in ("ES", "PT")]
            await append(log, windows.bucket([(cell(), 3)], spikes=spikes))
        headers = {"Authorization": "Bearer t"}
        running.client.headers.update(headers)
        await running.applied(windows.now)
        await explore(f"http://127.0.0.1:{port}", tmp_path, headers=headers, max_examples=10)
