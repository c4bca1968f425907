"""What operators set so that retention never takes what is needed; and what happens to snapshots all the same."""

import json
from random import Random

from pegel.eventlog.port import CONTACTS, COUNTS, STATE
from support.simulation.cluster import Cluster

SNAPSHOTS_KEPT = 2


class Retention:
    """Trims the detector's input up to its newest snapshot but one, and spoils the newest now and then."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._spoilt: set[tuple[int, int]] = set()

    def trim(self) -> None:
        """Whatever a restore needs stays: it may have to fall back to the snapshot before the newest."""
        cluster = self._cluster
        last = cluster.count(STATE) - 1
        for partition in range(cluster.count(STATE)):
            sound = [m for m in self._manifests(partition) if (partition, m[0]) not in self._spoilt]
            if len(sound) >= SNAPSHOTS_KEPT:
                stream, number = (COUNTS, 0) if partition == last else (CONTACTS, partition)
                begin = cluster.ends(stream)[number].begin
                if sound[-SNAPSHOTS_KEPT][1] > begin:
                    cluster.trim(stream, number, sound[-SNAPSHOTS_KEPT][1])
                    cluster.world.say(f"{stream}/{number} now begins at {sound[-SNAPSHOTS_KEPT][1]}")

    def spoil(self, random: Random) -> None:
        """A chunk of the newest snapshot of a partition changes, if the one before it is sound."""
        cluster = self._cluster
        partition = random.randrange(cluster.count(STATE))
        manifests = self._manifests(partition)
        if len(manifests) >= SNAPSHOTS_KEPT and (partition, manifests[-2][0]) not in self._spoilt:
            offset, _, chunks = manifests[-1]
            cluster.spoil(STATE, partition, random.choice(chunks))
            self._spoilt.add((partition, offset))
            cluster.world.say(f"the snapshot at {offset} of state/{partition} is spoilt")

    def _manifests(self, partition: int) -> list[tuple[int, int, list[int]]]:
        """Those that are not void: offset, position, and offsets of the chunks."""
        found, claimed = [], -1
        for record in self._cluster.stored(STATE)[partition]:
            if record.headers:
                continue  # a chunk
            value = json.loads(record.value)
            if value["kind"] == "claim":
                claimed = record.offset
            elif value["kind"] == "manifest" and value["epoch"] >= claimed:
                found.append((record.offset, value["position"], [chunk["offset"] for chunk in value["chunks"]]))
        return found
