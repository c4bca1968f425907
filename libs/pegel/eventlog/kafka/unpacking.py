"""What was fetched becomes our records at once.

aiokafka 0.14 makes a dataclass of each record, of which half a microsecond's work would be undone by making a Record of
it: together they cost more than everything else that is done to read one. It lets no other class in, so the one buffer
of a consumer through which fetched partitions pass is exchanged for one that does.
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.fetcher import FetchResult, PartitionRecords
from aiokafka.errors import CorruptRecordException

from pegel.eventlog.port import Record


class _Unpacked(PartitionRecords):  # type: ignore[misc]
    """Yields Record where aiokafka's yields ConsumerRecord. Of transactions it knows the markers."""

    next_fetch_offset: int

    def __iter__(self) -> Iterator[Record]:
        iterator: Iterator[Record] = self._records_iterator
        return iterator

    def _unpack_records(self) -> Iterator[Record]:
        partition, records = self._tp.partition, self._records
        new, record_type = tuple.__new__, Record
        while records.has_next():
            batch = records.next_batch()
            if not batch.validate_crc():
                raise CorruptRecordException(f"Invalid CRC - {self._tp}")
            if not batch.is_control_batch:
                for r in batch:
                    offset = r.offset
                    if offset >= self.next_fetch_offset:  # a batch is fetched as a whole
                        self.next_fetch_offset = offset + 1
                        headers = r.headers
                        yield new(
                            record_type,
                            (partition, offset, r.timestamp, r.key, r.value or b"", tuple(headers) if headers else ()),
                        )
            self.next_fetch_offset = batch.next_offset


class _Fetched(OrderedDict[Any, Any]):
    """aiokafka's buffer of what was fetched and not taken yet, by partition: results and errors."""

    def __setitem__(self, place: Any, result: Any) -> None:
        if isinstance(result, FetchResult):
            records = result._partition_records
            records.__class__ = _Unpacked
            records._records_iterator = records._unpack_records()
        super().__setitem__(place, result)


def unpack_at_once(consumer: AIOKafkaConsumer) -> None:
    """From now on the consumer's getmany gives Records. To be called once it has started and before it is assigned."""
    consumer._fetcher._records = _Fetched()
