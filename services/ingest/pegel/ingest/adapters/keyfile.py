"""The key that makes pseudonyms: a file that PEGEL_PSEUDONYM_KEY_FILE names, or on one machine one made in DATA_DIR."""

import os
import secrets
from pathlib import Path
from typing import Final

from pegel.runtime.settings import PREFIX, ConfigurationError, Settings

SETTING: Final = f"{PREFIX}PSEUDONYM_KEY_FILE"
KEY_BYTES_MIN: Final = 32
MADE: Final = "pseudonym.key"


def pseudonym_key(settings: Settings) -> bytes:
    """The key. Where none is named, one is made once in DATA_DIR: for a log on the same machine, and for an ingest that
    only its own machine reaches (a trial on a real Kafka). Others, on several machines, need to have the same.

    Raises ConfigurationError that names the setting, and the file where there is one.
    """
    if settings.pseudonym_key_file is not None:
        return _read(settings.pseudonym_key_file, f"{SETTING}={settings.pseudonym_key_file}")
    if not settings.resolved_log_url.startswith("sqlite:") and not settings.loopback:
        raise ConfigurationError(
            [f"{SETTING} is not set: several ingests on one log need the same key (openssl rand -hex 32 makes one)"]
        )
    path = settings.data_dir / MADE
    fault = f"{PREFIX}DATA_DIR={settings.data_dir}: {MADE}"
    if not path.exists():
        try:
            _make(path)
        except OSError as error:
            raise ConfigurationError([f"{fault} can't be made: {error.strerror}"]) from None
    return _read(path, fault)


def _read(path: Path, fault: str) -> bytes:
    try:
        key = path.read_bytes().strip()
    except OSError as error:
        raise ConfigurationError([f"{fault} can't be read: {error.strerror}"]) from None
    if len(key) < KEY_BYTES_MIN:
        raise ConfigurationError([f"{fault} holds {len(key)} bytes; at least {KEY_BYTES_MIN} are needed"])
    return key


def _make(path: Path) -> None:
    """Whole or not at all, and only the first of several makers: a link fails where the name is taken."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(secrets.token_hex(32) + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
