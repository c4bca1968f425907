"""The servers of the runs under faults, one of each a session, and a cluster of services a test."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("support.faults_cluster", "support.faults_load")

from support import faults_servers  # noqa: E402 (so that its assertions say what differs)
from support.faults_cluster import Cluster, cluster  # noqa: E402
from support.faults_servers import Servers  # noqa: E402


@pytest.fixture(scope="session")
def fault_servers() -> Iterator[Servers]:
    """A broker and a database that a test may stop and start again."""
    with faults_servers.running() as running:
        yield running


@pytest.fixture
async def faulted(fault_servers: Servers, tmp_path: Path) -> AsyncIterator[Cluster]:
    """A log of two partitions, a fresh database, a receiver of pages; no service runs yet."""
    async with cluster(fault_servers, tmp_path) as here:
        yield here
