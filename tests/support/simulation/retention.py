"""What operators set so that retention never takes what is needed; and what happens to snapshots all the same."""

import json
from random import Random
from typing import NamedTuple

from pegel.eventlog.port import CONTACTS, COUNTS, STATE
from support.simulation.cluster import Cluster

SNAPSHOTS_KEPT = 2


class Manifest(NamedTuple):
    """counts: from where on the outputs that it does not know of stand in counts."""

    offset: int
    position: int
    counts: int
    chunks: list[int]


class Retention:
    """Trims the detector's input up to its newest snapshot but one, and spoils the newest now and then."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._spoilt: set[tuple[int, int]] = set()

    def trim(self) -> None:
        """Whatever a restore needs stays: it may have to fall back to the snapshot before the newest."""
        last = self._cluster.count(STATE) - 1
        kept: list[int] = []
        """From where on each state needs counts."""
        for partition in range(last + 1):
            sound = [m for m in self._manifests(partition) if (partition, m.offset) not in self._spoilt]
            if len(sound) < SNAPSHOTS_KEPT:
                kept.append(0)
            elif partition == last:
                kept.append(sound[-SNAPSHOTS_KEPT].position)
            else:
                kept.append(sound[-SNAPSHOTS_KEPT].counts)
                self._begin(CONTACTS, partition, sound[-SNAPSHOTS_KEPT].position)
        self._begin(COUNTS, 0, min(kept))

    def _begin(self, stream: str, partition: int, offset: int) -> None:
        if offset > self._cluster.ends(stream)[partition].begin:
            self._cluster.trim(stream, partition, offset)
            self._cluster.world.say(f"{stream}/{partition} now begins at {offset}")

    def spoil(self, random: Random) -> None:
        """A chunk of the newest snapshot of a partition changes, if the one before it is sound."""
        cluster = self._cluster
        partition = random.randrange(cluster.count(STATE))
        manifests = self._manifests(partition)
        if len(manifests) >= SNAPSHOTS_KEPT and (partition, manifests[-2].offset) not in self._spoilt:
            newest = manifests[-1]
            cluster.spoil(STATE, partition, random.choice(newest.chunks))
            self._spoilt.add((partition, newest.offset))
            cluster.world.say(f"the snapshot at {newest.offset} of state/{partition} is spoilt")

    def _manifests(self, partition: int) -> list[Manifest]:
        """Those that are not void."""
        found, claimed = [], -1
        for record in self._cluster.stored(STATE)[partition]:
            if record.headers:
                continue  # a chunk
            value = json.loads(record.value)
            if value["kind"] == "claim":
                claimed = record.offset
            elif value["kind"] == "manifest" and value["epoch"] >= claimed:
                mark = value["outputs"].get(COUNTS, {"next_offset": 0})["next_offset"]
                chunks = [chunk["offset"] for chunk in value["chunks"]]
                found.append(Manifest(record.offset, value["position"], mark, chunks))
        return found
