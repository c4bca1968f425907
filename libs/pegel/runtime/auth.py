"""Bearer tokens (RFC 6750), hashed in a file; `pegel token` makes one.

The file is JSON: {"tokens": [{"name": "desk-es", "role": "source", "sha256": "HEX"}, ...]}. Without a file anyone on
loopback may do everything, as source "local".
"""

import hashlib
import hmac
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast, get_args

from pegel.runtime.settings import ConfigurationError, Settings

Role = Literal["source", "viewer", "responder", "admin"]
GRANTS: dict[Role, frozenset[Role]] = {
    "source": frozenset({"source"}),
    "viewer": frozenset({"viewer"}),
    "responder": frozenset({"viewer", "responder"}),
    "admin": frozenset(get_args(Role)),
}


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. name: of the token; for sources it is the contact's source."""

    name: str
    role: Role

    def may(self, needed: Role) -> bool:
        return needed in GRANTS[self.role]


LOCAL = Principal("local", "admin")


def hashed(token: str) -> str:
    """SHA-256 in hex. A token has 256 random bits, so a slow hash would buy nothing."""
    return hashlib.sha256(token.encode()).hexdigest()


class Tokens:
    """The tokens that are known; None known and no file: loopback only, everybody is LOCAL."""

    def __init__(self, entries: list[tuple[str, Principal]] | None) -> None:
        self._entries = entries

    @classmethod
    def load(cls, settings: Settings) -> "Tokens":
        """Raises ConfigurationError that names the file and the entry."""
        if settings.tokens_file is None:
            return cls(None)
        return cls(_read(settings.tokens_file))

    @property
    def needed(self) -> bool:
        return self._entries is not None

    def principal(self, authorization: str | None) -> Principal | None:
        """Who presents this Authorization header; None when nobody known does."""
        if self._entries is None:
            return LOCAL
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            return None
        digest = hashed(token.strip())
        found = None
        for known, principal in self._entries:  # all are compared: no time tells which one matched
            if hmac.compare_digest(known, digest):
                found = principal
        return found


def _read(path: Path) -> list[tuple[str, Principal]]:
    try:
        document = json.loads(path.read_text("utf-8"))
        entries = document["tokens"]
    except OSError as error:
        raise ConfigurationError([f"PEGEL_TOKENS_FILE={path}: {error.strerror}"]) from None
    except (ValueError, KeyError, TypeError):
        raise ConfigurationError([f'PEGEL_TOKENS_FILE={path}: not JSON of the form {{"tokens": [...]}}']) from None
    faults, read = [], []
    for number, entry in enumerate(entries):
        name, role, digest = (
            (entry.get(key) for key in ("name", "role", "sha256")) if isinstance(entry, dict) else (None,) * 3
        )
        if not isinstance(name, str) or not name:
            faults.append(f"PEGEL_TOKENS_FILE={path}: tokens[{number}].name is missing")
        elif role not in get_args(Role):
            faults.append(f"PEGEL_TOKENS_FILE={path}: tokens[{number}].role is none of {', '.join(get_args(Role))}")
        elif not isinstance(digest, str) or len(digest) != 64:
            faults.append(f"PEGEL_TOKENS_FILE={path}: tokens[{number}].sha256 is not 64 hexadecimal digits")
        else:
            read.append((digest.lower(), Principal(name, cast(Role, role))))
    if faults:
        raise ConfigurationError(faults)
    return read
