"""How a contact finds its partition. The same everywhere and for ever: what these return is on the log."""

from hashlib import blake2b
from zlib import crc32


def contact_key(source: str, event_id: str) -> bytes:
    """The 16 bytes that stand for a contact's identity: key of its records, and of its amendments'.

    BLAKE2b of source and event_id, parted by a NUL, which neither can hold.
    """
    return blake2b(f"{source}\0{event_id}".encode(), digest_size=16).digest()


def partition_of(key: bytes, partitions: int) -> int:
    """The partition, 0 to partitions - 1, in which all records with this key meet."""
    return crc32(key) % partitions
