"""What was fetched becomes our records at once.

aiokafka 0.14 makes a dataclass of each record, one at a time; making a Record of that costs as much again, and together
it is more than everything else that is done to read one. It lets no other class in, so the one buffer of a consumer
through which fetched partitions pass is exchanged for one that does, and whole batches are unpacked there.
"""

from collections import OrderedDict
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.fetcher import FetchResult
from aiokafka.errors import CorruptRecordException

from pegel.eventlog.port import Record


class _Unpacked:
    """Stands where aiokafka has the records of a fetched partition, and gives Record where it gives ConsumerRecord.

    Of transactions it knows the markers, which it leaves out; there are no other uses of them in our streams.
    """

    def __init__(self, place: Any, fetched: Any, next_fetch_offset: int) -> None:
        self.next_fetch_offset = next_fetch_offset
        """Of the record that is given next; aiokafka compares it with the position, and sets the position to it."""
        self._place, self._fetched = place, fetched
        self._ready: list[Record] = []
        self._at = 0
        self._after = next_fetch_offset

    def take(self, max_records: int | None) -> list[Record]:
        """The next records, at most so many; all that are left when fewer come.

        Raises CorruptRecordException; afterwards nothing is left, and aiokafka fetches again from where it is.
        """
        taken: list[Record] = []
        while max_records is None or len(taken) < max_records:
            if self._at == len(self._ready) and not self._unpack():
                self.next_fetch_offset = self._after
                return taken
            end = len(self._ready) if max_records is None else self._at + max_records - len(taken)
            taken += self._ready[self._at : end]
            self._at = min(end, len(self._ready))
        self.next_fetch_offset = taken[-1].offset + 1
        return taken

    def _unpack(self) -> bool:
        """Make the next batch ready; False when there is none."""
        fetched, self._ready, self._at = self._fetched, [], 0
        if fetched is None or not fetched.has_next():
            return False
        self._fetched, after, self._after = None, self._after, self.next_fetch_offset
        batch = fetched.next_batch()
        if not batch.validate_crc():
            raise CorruptRecordException(f"Invalid CRC - {self._place}")
        partition, new, record_type = self._place.partition, tuple.__new__, Record
        if not batch.is_control_batch:
            self._ready = [
                new(record_type, (partition, r.offset, r.timestamp, r.key, r.value or b"", tuple(r.headers)))
                for r in batch
            ]
            if batch.base_offset < after:  # a batch is fetched as a whole
                self._ready = [record for record in self._ready if record.offset >= after]
        self._fetched, self._after = fetched, batch.next_offset
        return True


def _unpacking(result: FetchResult) -> None:
    """Make a result of aiokafka's give Records."""
    theirs, place = result._partition_records, result._topic_partition
    result._partition_records = ours = _Unpacked(place, theirs._records, theirs.next_fetch_offset)

    def getall(max_records: int | None = None) -> list[Record]:
        taken: list[Record] = []
        if result.check_assignment(place) and result.has_more():
            taken = ours.take(max_records)
            result._update_position()
            if max_records is not None and len(taken) == max_records:
                return taken
            result._partition_records = None
        del result.getall  # the two hold each other, and what was fetched
        return taken

    result.getall = getall


class _Fetched(OrderedDict[Any, Any]):
    """aiokafka's buffer of what was fetched and not taken yet, by partition: results and errors."""

    def __setitem__(self, place: Any, result: Any) -> None:
        if isinstance(result, FetchResult):
            _unpacking(result)
        super().__setitem__(place, result)


def unpack_at_once(consumer: AIOKafkaConsumer) -> None:
    """From now on the consumer's getmany gives Records. To be called once it has started and before it is assigned."""
    consumer._fetcher._records = _Fetched()
