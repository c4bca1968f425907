"""`pegel token`: makes a bearer token and prints what the services need to know of it."""

import json
import secrets

from pydantic import TypeAdapter, ValidationError

from pegel.runtime.auth import hashed
from pegel.runtime.settings import ConfigurationError
from pegel.schemas.base import Slug

TOKEN_BYTES = 32


def make(name: str, role: str) -> int:
    """Print a new token and its entry; nothing is stored. Raises ConfigurationError when the name is no slug."""
    try:
        TypeAdapter(Slug).validate_python(name)
    except ValidationError:
        raise ConfigurationError(
            [f"NAME={name[:100]!r} is no slug: lower-case letters, digits, hyphens, at most 64 characters"]
        ) from None
    token = f"pegel_{secrets.token_urlsafe(TOKEN_BYTES)}"
    entry = {"name": name, "role": role, "sha256": hashed(token)}
    print(f"token, for who sends it (shown this once, kept nowhere):\n  {token}")
    print(f'entry, for the list "tokens" in the file that PEGEL_TOKENS_FILE names:\n  {json.dumps(entry)}')
    return 0
