"""The dashboard keeps what its OpenAPI document says, whatever it is sent: schemathesis with all checks."""

import asyncio
from pathlib import Path

import pytest

from pegel.dashboard.app import build
from pegel.runtime.settings import Settings
from support.dashboards import FakePainter, bad_night, served
from support.openapi import explore


@pytest.mark.timeout(120)
async def test_the_dashboard_keeps_its_word(tmp_path: Path) -> None:
    service = build(Settings(), alerter=bad_night(), painter=FakePainter())
    stop = asyncio.Event()
    loop = asyncio.ensure_future(service.run(stop))
    async with served(service.app) as url:
        # as from a page of its own: else nothing would come past the check of where a form stood
        await explore(url, tmp_path, headers={"Sec-Fetch-Site": "same-origin"})
    stop.set()
    await loop
