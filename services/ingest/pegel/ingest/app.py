"""The composition root of ingest: which log, which rules, which routes."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

from pegel.eventlog import connect
from pegel.eventlog.identity import open_identity
from pegel.eventlog.port import EventLog, LogUnavailable
from pegel.ingest.adapters.keyfile import pseudonym_key
from pegel.ingest.domain.pseudonyms import pseudonymiser
from pegel.ingest.domain.rules import Rules
from pegel.ingest.http.bodies import Bodies
from pegel.ingest.http.documents import describe
from pegel.ingest.http.routes import State, add_routes
from pegel.ingest.pipeline.appends import DEPENDENCY, Appends
from pegel.ingest.pipeline.intake import Intake
from pegel.ingest.pipeline.rejections import Rejections
from pegel.ingest.pipeline.ticker import keep_time
from pegel.runtime import logs
from pegel.runtime.auth import Tokens
from pegel.runtime.http import make_app
from pegel.runtime.probes import Probe
from pegel.runtime.serve import Service
from pegel.runtime.settings import ConfigurationError, Settings
from pegel.schemas.contact import Amendment, Contact, Tick

NAME = "ingest"
DESCRIPTION = (
    "Takes contacts and answers when the log has them. What is refused is said item by item, with the field and the "
    "reason. Sending again does no harm: a contact counts once."
)
log = logs.get(__name__)


def build(settings: Settings, connect_log: Callable[[Settings], EventLog] = connect.connect) -> Service:
    """Ingest, ready to be served. connect_log: how tests give it another log.

    Raises ConfigurationError for what stands in files.
    """
    probe = Probe(NAME)
    wall = settings.clock == "wall"
    state = State(Tokens.load(settings), wall, Bodies(settings.ingest_bytes_max, settings.ingest_requests_max))
    app = make_app(NAME, probe, title="Pegel ingest", description=DESCRIPTION, body_bytes_max=settings.body_bytes_max)
    add_routes(app, state)
    describe(app, Contact, Amendment, Tick)

    rules = _rules_of(settings)

    async def run(stop: asyncio.Event) -> None:
        pseudonymise = pseudonymiser(pseudonym_key(settings), settings.pseudonym_rotation_days)
        probe.wait_for("the log")
        events = connect_log(settings)
        try:
            try:
                identity = await open_identity(events, settings)
            except LogUnavailable as error:
                fault = f"PEGEL_LOG_URL={settings.resolved_log_url}: {error}"
                raise ConfigurationError([fault]) from None
            probe.dependency(DEPENDENCY, None)
            appends = Appends(events, identity.meta.partitions, probe)
            state.intake = Intake(appends, pseudonymise, rules)
            state.rejections = Rejections(events, settings.ingest_deadline_seconds)
            probe.ready()
            await keep_time(state.intake, appends, probe, stop, seconds=settings.tick_seconds, wall=wall)
        finally:
            rejections, state.intake, state.rejections = state.rejections, None, None
            if rejections is not None:
                await rejections.close()
            await events.close()

    return Service(NAME, settings.ingest_port, app, probe, run)


def _rules_of(settings: Settings) -> Callable[[datetime, str | None], Rules]:
    """The rules of the moment, for a source."""
    if settings.clock == "data":
        return lambda _, source: Rules(source)
    ahead, age = timedelta(seconds=settings.ahead_seconds_max), timedelta(days=settings.age_days_max)
    too_old = f"is older than PEGEL_AGE_DAYS_MAX={settings.age_days_max}"
    too_far = f"lies further ahead than PEGEL_AHEAD_SECONDS_MAX={settings.ahead_seconds_max}"
    return lambda now, source: Rules(source, now - age, now + ahead, too_old, too_far)
