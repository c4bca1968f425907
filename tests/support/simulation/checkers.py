"""What must hold when everything has come to rest. Each check says what is broken in a sentence."""

import json
import sqlite3
from collections import defaultdict
from contextlib import closing
from typing import Any, Final

from pegel.eventlog.identity import Identity
from pegel.eventlog.port import CONTACTS, COUNTS, REJECTED, WINDOWS
from support import stages
from support.simulation.oracle import Counted, Fenced, Place, count, rows_of
from support.simulation.services import PRICES, Site
from support.simulation.workload import Sources

MISSING_MS: Final = 60_000
MICRO_PLACES: Final = 6


class Checks:
    """All of them on one simulation that has ended."""

    def __init__(self, site: Site, sources: Sources, identity: Identity, drained_from_ms: int) -> None:
        self._site, self._world, self._sources = site, site.world, sources
        self._identity, self._made_at_ms, self._drained_from_ms = identity, identity.made_at_ms, drained_from_ms
        self._length = site.settings.bucket_seconds
        self._counts = Fenced().read(site.cluster.stored(COUNTS)[0])
        self._windows = Fenced().read(site.cluster.stored(WINDOWS)[0])
        self._counted: list[Counted] = [
            count(records, self._length, site.settings.delay_seconds, identity.made_at_ms)
            for records in site.cluster.stored(CONTACTS)
        ]

    def all(self) -> None:
        self.what_was_acknowledged_is_in_the_log()
        self.counts_follow_from_contacts()
        self.refusals_follow_from_contacts()
        self.windows_follow_from_counts()
        self.buckets_are_told_once_and_in_order()
        with closing(sqlite3.connect(self._site.database_file)) as database:
            database.row_factory = sqlite3.Row
            self.the_ledger_follows_from_windows(database)
            self.incidents_follow_from_spikes(database)
            self.an_incident_is_paged_once(database)
        if not self._world.violations:
            self.outputs_are_those_of_an_undisturbed_run()

    def _wrong(self, text: str) -> None:
        self._world.wrong(text)

    def what_was_acknowledged_is_in_the_log(self) -> None:
        there = {("contact", *identity) for counted in self._counted for identity in counted.identities}
        there |= {("amendment", *identity) for counted in self._counted for identity in counted.amendments}
        lost = sorted(self._sources.acknowledged - there)
        if lost:
            self._wrong(f"{len(lost)} items were acknowledged and are not in contacts, such as {lost[0]}")
        homes: dict[tuple[str, str], int] = {}
        for number, counted in enumerate(self._counted):
            for identity in counted.identities:
                if homes.setdefault(identity, number) != number:
                    self._wrong(f"contact {identity} stands in two partitions")

    def counts_follow_from_contacts(self) -> None:
        """Which buckets close at which record, and what is added to them, partition by partition."""
        found: dict[int, list[tuple[int, dict[str, Any]]]] = defaultdict(list)
        for offset, value in self._counts.of("counts"):
            found[value["origin"]["partition"]].append((offset, value))
        for partition, counted in enumerate(self._counted):
            whole: list[list[dict[str, Any]]] = [[]]
            for _, value in found[partition]:
                whole[-1].append(value)
                if value.get("last", True):
                    whole.append([])
            if whole.pop():
                self._wrong(f"counts: the last closing of partition {partition} is not whole")
            for number, wanted in enumerate(counted.closings):
                if number >= len(whole):
                    self._wrong(
                        f"counts: partition {partition} closes {len(whole)} times, not {len(counted.closings)} times: "
                        f"bucket {wanted.closed_from} is never closed"
                    )
                    break
                if not self._closing_is(partition, wanted, whole[number]):
                    break  # what follows would only say it again
            else:
                if len(whole) > len(counted.closings):
                    self._wrong(f"counts: partition {partition} closes {len(whole) - len(counted.closings)} times more")

    def _closing_is(self, partition: int, wanted: Any, parts: list[dict[str, Any]]) -> bool:
        said = parts[-1]
        rows: dict[Place, tuple[int, int]] = {}
        for part in parts:
            rows |= rows_of(part["additions"])
        gap = (said["gap_from"], said["gap_to"])
        at = f"counts: partition {partition}, at offset {wanted.offset} of contacts"
        if said["origin"]["offset"] != wanted.offset:
            self._wrong(f"{at}: bucket {wanted.closed_from} is closed at offset {said['origin']['offset']} instead")
        elif (said["closed_from"], said["closed_to"]) != (wanted.closed_from, wanted.closed_to):
            self._wrong(
                f"{at}: closes {said['closed_from']} to {said['closed_to']}, "
                f"not {wanted.closed_from} to {wanted.closed_to}"
            )
        elif (gap[1] > gap[0] or wanted.gap[1] > wanted.gap[0]) and gap != wanted.gap:
            self._wrong(f"{at}: says a gap of {gap}, not {wanted.gap}")
        elif rows != wanted.rows:
            self._wrong(f"{at}: {_difference(rows, wanted.rows)}")
        elif {name: said["totals"].get(name, 0) for name in wanted.totals} != wanted.totals:
            self._wrong(f"{at}: totals are {said['totals']}, not {wanted.totals}")
        else:
            return True
        return False

    def refusals_follow_from_contacts(self) -> None:
        said = Fenced().read(self._site.cluster.stored(REJECTED)[0])
        found: dict[int, list[Any]] = defaultdict(list)
        for _, value in said.of("rejected"):
            if value.get("origin"):
                found[value["origin"]["partition"]].append(
                    (value["reason"], value["source"], value["event_id"], value.get("amendment_id"), value["offset"])
                )
        for partition, counted in enumerate(self._counted):
            if found[partition] != counted.refusals:
                self._wrong(
                    f"rejected: partition {partition} refuses {len(found[partition])} items, "
                    f"not {len(counted.refusals)}: {_unlike(found[partition], counted.refusals)}"
                )

    def windows_follow_from_counts(self) -> None:
        """Up to each bucket record: what counts adds to the buckets told is what windows adds to them."""
        balance: dict[Place, list[int]] = defaultdict(lambda: [0, 0])
        counts, place, contacts = list(self._counts.of("counts")), 0, 0
        closed: dict[int, int] = {}
        for _, value in self._windows.taken:
            if value["kind"] == "window":
                for where, (many, handled) in rows_of(value["additions"]).items():
                    balance[where][0] -= many
                    balance[where][1] -= handled
                contacts += sum(value["additions"].get("contacts", ()))
            elif value["kind"] == "bucket":
                while place < len(counts) and counts[place][0] <= value["origin"]["offset"]:
                    origin = counts[place][1]["origin"]
                    closed[origin["partition"]] = max(closed.get(origin["partition"], 0), counts[place][1]["closed_to"])
                    for where, (many, handled) in rows_of(counts[place][1]["additions"]).items():
                        balance[where][0] += many
                        balance[where][1] += handled
                    place += 1
                off = [where for where, sums in balance.items() if sums != [0, 0] and where[0] < value["to"]]
                if off:
                    (bucket, cell), (many, _) = off[0], balance[off[0]]
                    self._wrong(
                        f"windows: up to bucket {value['bucket']}, {many} contacts of {dict(cell)} in bucket {bucket} "
                        f"are in counts and not in windows"
                    )
                    return
                missing = [p for p in range(self._site.settings.partitions) if closed.get(p, 0) < value["to"]]
                if missing != list(value.get("incomplete", ())):
                    self._wrong(
                        f"windows: bucket {value['bucket']} lacks partitions {missing}, "
                        f"and says {value.get('incomplete', [])}"
                    )
                if contacts != value["windows_contacts"]:
                    self._wrong(f"windows: bucket {value['bucket']} says {value['windows_contacts']}, not {contacts}")
                for covered in value["covered"]:
                    self._covered_is(covered)
        if place < len(counts):
            self._wrong(f"windows: {len(counts) - place} records of counts were never judged")

    def _covered_is(self, covered: dict[str, Any]) -> None:
        closings = self._counted[covered["partition"]].closings
        totals = next((c.totals for c in closings if c.offset == covered["offset"]), None)
        if totals != {name: covered["totals"].get(name, 0) for name in totals or ()}:
            self._wrong(f"windows: a bucket record covers {covered}, the contacts say {totals}")

    def buckets_are_told_once_and_in_order(self) -> None:
        expected = -(-self._made_at_ms // (self._length * 1000))
        gaps: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for _, value in self._counts.of("counts"):
            gaps[value["origin"]["partition"]].append((value["gap_from"], value["gap_to"]))
        for _, value in self._windows.of("bucket"):
            bucket, to = value["bucket"], value["to"]
            if bucket != expected or to <= bucket:
                self._wrong(f"windows: after bucket {expected - 1} comes {bucket} to {to}")
            expected = to
            unseen = any(start <= bucket < end for spans in gaps.values() for start, end in spans)
            if value["status"] == "gap" and not unseen:
                self._wrong(f"windows: bucket {bucket} is called a gap, and every partition observed it")
            if value["status"] == "observed" and unseen and not value.get("incomplete"):
                self._wrong(f"windows: bucket {bucket} is called observed, and no counter observed it in time")
            quiet = bucket * self._length * 1000 > self._drained_from_ms
            if quiet and (value["status"] == "gap" or value.get("incomplete")):
                self._wrong(
                    f"windows: nothing is amiss any more, and bucket {bucket} is {value['status']}, "
                    f"without partitions {value.get('incomplete', [])}"
                )

    def the_ledger_follows_from_windows(self, database: sqlite3.Connection) -> None:
        wanted: dict[Place, int] = defaultdict(int)
        for _, value in self._windows.of("window"):
            for where, (many, _) in rows_of(value["additions"]).items():
                wanted[where] += many
        booked: dict[Place, int] = defaultdict(int)
        amounts: dict[tuple[str, str], int] = defaultdict(int)
        for row in database.execute("SELECT * FROM ledger_entries"):
            cell = json.loads(row["cell"])
            booked[row["bucket"], frozenset(cell.items())] += row["quantity"]
            price = PRICES.get(cell["channel"], 0)
            if row["amount_micros"] != row["quantity"] * price or row["unit_price_micros"] != price:
                self._wrong(f"ledger: {row['quantity']} contacts at {price} are booked as {row['amount_micros']}")
            amounts[row["team"], row["topic"]] += row["amount_micros"]
        off = [where for where in wanted.keys() | booked.keys() if wanted[where] != booked[where]]
        if off:
            bucket, cell = min(off, key=lambda where: (where[0], sorted(where[1])))
            self._wrong(
                f"ledger: of {dict(sorted(cell))} in bucket {bucket}, {booked[bucket, cell]} are booked "
                f"and {wanted[bucket, cell]} are in windows"
            )
        sums = {
            (row["team"], row["topic"]): row["amount"]
            for row in database.execute("SELECT team, topic, SUM(amount_micros) amount FROM cost_hours GROUP BY 1, 2")
        }
        if sums != dict(amounts):
            self._wrong("ledger: the hours' sums are not the sums of their entries")

    def incidents_follow_from_spikes(self, database: sqlite3.Connection) -> None:
        last: dict[str, str] = {}
        for _, value in self._windows.of("spike"):
            opened_before = value["spike_id"] in last
            if (value["state"] == "opened") == opened_before:
                self._wrong(f"windows: spike {value['spike_id']} is {value['state']} out of turn")
            last[value["spike_id"]] = value["state"]
        rows = {row["id"]: row["state"] for row in database.execute("SELECT id, state FROM spikes")}
        if rows != last:
            self._wrong(f"incidents: the spikes are {_unlike(sorted(rows.items()), sorted(last.items()))}")
        openings = database.execute(
            "SELECT incident_id, COUNT(*) n FROM transitions WHERE from_state IS NULL GROUP BY 1"
        )
        for row in openings:
            if row["n"] != 1:
                self._wrong(f"incidents: {row['incident_id']} was opened {row['n']} times")
        open_twice = database.execute(
            "SELECT segment, COUNT(*) n FROM incidents WHERE state != 'resolved' GROUP BY 1 HAVING n > 1"
        )
        for row in open_twice:
            self._wrong(f"incidents: {row['segment']} has {row['n']} at once")

    def an_incident_is_paged_once(self, database: sqlite3.Connection) -> None:
        incidents = [row["id"] for row in database.execute("SELECT id FROM incidents")]
        outbox = {row["page_id"]: row["state"] for row in database.execute("SELECT page_id, state FROM outbox")}
        openings: dict[str, set[str]] = defaultdict(set)
        taken: dict[str, Any] = {}
        for delivery in self._site.pager.deliveries:
            page = delivery.page
            if page.kind == "opened":
                openings[page.incident_id].add(delivery.page_id)
            taken.setdefault(delivery.page_id, delivery)
        told: dict[str, list[str]] = defaultdict(list)
        for page_id, delivery in taken.items():
            told[delivery.page.incident_id].append(page_id)
        for incident, pages in told.items():
            if pages != sorted(pages, key=lambda page_id: int(page_id.rpartition(".")[2])):
                self._wrong(f"pages: of incident {incident} they came in the order {pages}")
        for incident in incidents:
            if len(openings[incident]) != 1:
                self._wrong(f"pages: incident {incident} was paged {len(openings[incident])} times")
        for page_id, state in outbox.items():
            if state != "sent":
                self._wrong(f"pages: {page_id} is still {state}")
            elif page_id not in taken:
                self._wrong(f"pages: {page_id} is called sent, and was never taken")

    def outputs_are_those_of_an_undisturbed_run(self) -> None:
        """By id and content, scores and spikes too; recomputed by the product itself, which the rest is not."""
        cluster, settings, identity = self._site.cluster, self._site.settings, self._identity
        contacts = dict(enumerate(cluster.stored(CONTACTS)))
        counts = cluster.stored(COUNTS)[0]
        made = stages.counts_of(contacts, stages.counting_rules(identity, settings))
        judged = stages.windows_of(
            counts, stages.judging_rules(identity, settings), stages.detector_maker(identity, settings)
        )
        for stream, expected in ((COUNTS, made[COUNTS]), (WINDOWS, judged[WINDOWS])):
            found = stages.accepted(cluster.stored(stream)[0])
            for text in stages.differences(stream, expected, found, whole=True)[:2]:
                self._wrong(text)


def _difference(found: dict[Place, tuple[int, int]], wanted: dict[Place, tuple[int, int]]) -> str:
    off = [where for where in found.keys() | wanted.keys() if found.get(where) != wanted.get(where)]
    bucket, cell = min(off, key=lambda where: (where[0], sorted(where[1])))
    return (
        f"adds {found.get((bucket, cell), (0, 0))} (contacts, seconds) of {dict(sorted(cell))} to bucket {bucket}, "
        f"not {wanted.get((bucket, cell), (0, 0))}"
    )


def _unlike(found: list[Any], wanted: list[Any]) -> str:
    """What only one of them has."""
    more, less = [x for x in found if x not in wanted], [x for x in wanted if x not in found]
    return f"too many {more[:1]}, missing {less[:1]}" if more or less else "in another order, or repeated"
