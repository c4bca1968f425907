"""The log, for a command: opened, and closed again; its faults as faults of the configuration."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pegel.eventlog.connect import connect
from pegel.eventlog.port import EventLog, LogError
from pegel.runtime.settings import ConfigurationError, Settings


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[EventLog]:
    """The log of the settings. What is wrong with it is raised as a ConfigurationError that names the setting."""
    log = connect(settings)
    try:
        yield log
    except LogError as error:
        name, value = ("LOG_URL", settings.log_url) if settings.log_url else ("DATA_DIR", settings.data_dir)
        raise ConfigurationError([f"PEGEL_{name}={value}: {error}"]) from error
    finally:
        await log.close()
