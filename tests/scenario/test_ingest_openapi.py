"""Ingest keeps what its OpenAPI document says, whatever it is sent: schemathesis with all checks."""

from pathlib import Path

import pytest

from support.ingests import listening
from support.openapi import explore


@pytest.mark.timeout(240)  # some 1,200 requests; 25 s on a machine that does nothing else
async def test_ingest_keeps_its_word(tmp_path: Path) -> None:
    async with listening(tmp_path, clock="data") as port:
        await explore(f"http://127.0.0.1:{port}", tmp_path)
