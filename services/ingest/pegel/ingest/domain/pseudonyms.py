"""Pseudonyms: customer, account and case by a keyed hash, before the log sees them.

Deleting the key ends all linkage. The hash is of the value alone, not of its source, so that a customer who writes and
then calls is one; and it differs by field, so that an account's number that is also a customer's tells nothing.
"""

from collections.abc import Callable
from hashlib import blake2b
from typing import Any, Final

FIELDS: Final = ("customer", "account", "case")
Pseudonymise = Callable[[dict[str, Any]], None]


def pseudonymiser(key: bytes) -> Pseudonymise:
    """A function that replaces the pseudonym fields of a mapping in place: 128 bits in hex."""
    secret = blake2b(key).digest()  # any length of key becomes what BLAKE2b takes
    hashers = tuple((name, blake2b(key=secret, digest_size=16, person=name.encode())) for name in FIELDS)

    def replace(values: dict[str, Any]) -> None:
        for name, hasher in hashers:
            value = values.get(name)
            if value is not None:
                keyed = hasher.copy()
                keyed.update(value.encode())
                values[name] = keyed.hexdigest()

    return replace
