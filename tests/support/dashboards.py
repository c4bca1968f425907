"""A dashboard on a fake alerter: the fake as a port, the same over HTTP, and a bank's bad night to look at."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Final

import httpx
import uvicorn
from fastapi import FastAPI, Header, Query, Response

from pegel.dashboard.app import build
from pegel.dashboard.domain.costs import Bar
from pegel.dashboard.ports import Alerter, Change, DrawError, Painter, RefusedError, Size, Theme, UnreachableError
from pegel.runtime.http import ProblemError, make_app
from pegel.runtime.probes import Probe
from pegel.runtime.serve import Service
from pegel.runtime.settings import Settings
from pegel.schemas.incident import Incident, IncidentList, IncidentState, Money, Transition, TransitionRequest
from pegel.schemas.ledger import CostList, CostRow
from support.wait import until

NIGHT: Final = datetime(2026, 11, 22, 2, 31, tzinfo=UTC)
CHANGED_TO: Final[dict[Change, IncidentState]] = {"acknowledge": "acknowledged", "resolve": "resolved"}


def incident(
    id_: str = "inc-atm-es",
    *,
    country: str = "ES",
    topic: str = "atm",
    team: str = "cash-withdrawals",
    state: IncidentState = "open",
    observed: int = 342,
    expected: float = 61.4,
    cost: str = "1204.50",
    as_of: datetime = NIGHT,
    stale: bool = False,
) -> Incident:
    """An incident that began twenty minutes before as_of."""
    onset = as_of - timedelta(minutes=20)
    first = Transition(
        at=onset + timedelta(minutes=4), from_state=None, to_state="open", actor="judge", reason="spike opened"
    )
    steps = [first]
    if state != "open":
        steps.append(
            Transition(at=as_of, from_state="open", to_state=state, actor="nora", reason="looking at the switch")
        )
    return Incident(
        id=id_,
        state=state,
        segment={"country": country, "topic": topic},
        team=team,
        onset=onset,
        opened_at=first.at,
        updated_at=as_of,
        resolved_at=as_of if state == "resolved" else None,
        observed=observed,
        expected=expected,
        window_seconds=900,
        observed_window=max(1, observed * 3 // 4),
        expected_window=expected * 0.74,
        score=14.2,
        cost=Money(amount=cost, currency="EUR"),
        explanation=(
            f"{observed} contacts about {topic} in {country} since {onset:%H:%M} where {expected:.0f} were expected. "
            "A count this high happens by chance once in many thousand years."
        ),
        page=f"paged {team} at {first.at:%H:%M}: new incident, nothing was open for this segment",
        spikes=(f"{country}/{topic}@{int(onset.timestamp()) // 60}",),
        transitions=tuple(steps),
        as_of=as_of,
        stale=stale,
    )


def costs(rows: Sequence[tuple[str, str, int, str]], as_of: datetime = NIGHT, hours: int = 24) -> CostList:
    """Costs of (team, topic, contacts, amount), dearest first."""
    total = sum((Decimal(amount) for *_, amount in rows), Decimal(0))
    return CostList(
        since=as_of - timedelta(hours=hours),
        until=as_of,
        rows=tuple(
            CostRow(
                team=team,
                topic=topic,
                contacts=contacts,
                unpriced_contacts=0,
                cost=Money(amount=amount, currency="EUR"),
                share=min(1.0, max(0.0, float(Decimal(amount) / total))) if total > 0 else 0.0,
            )
            for team, topic, contacts, amount in rows
        ),
        contacts=sum(contacts for _, _, contacts, _ in rows),
        total=Money(amount=f"{total:.2f}", currency="EUR"),
        as_of=as_of,
        stale=False,
    )


BANK: Final = (
    ("cash-withdrawals", "atm", 1204, "4210.50"),
    ("card-services", "cards", 1611, "3905.25"),
    ("digital-identity", "login", 1502, "2950.00"),
    ("payments-core", "transfer", 1290, "2700.10"),
    ("accounts", "account", 1100, "2150.00"),
    ("mobile-banking", "app", 1021, "1870.00"),
    ("consumer-lending", "loan", 640, "1690.75"),
    ("home-finance", "mortgage", 411, "1480.40"),
    ("fraud-prevention", "fraud", 380, "1320.00"),
    ("pricing", "fees", 420, "905.00"),
    ("merchant-payments", "payments", 377, "790.20"),
    ("insurance", "insurance", 241, "610.00"),
    ("investments", "invest", 190, "520.00"),
    ("documents", "statement", 233, "390.00"),
    ("branch-network", "branch", 120, "260.00"),
)


@dataclass
class FakeAlerter:
    """The port Alerter in memory. fault: why it does not answer; demands: the token that a change needs."""

    items: list[Incident] = field(default_factory=list)
    cost_list: CostList | None = None
    as_of: datetime | None = NIGHT
    stale: bool = False
    fault: str | None = None
    demands: str | None = None
    changes: list[tuple[str, Change, str, str | None]] = field(default_factory=list)
    asked: int = 0

    async def incidents(self, state: IncidentState, limit: int) -> IncidentList:
        self._answer()
        found = sorted((i for i in self.items if i.state == state), key=lambda i: i.opened_at, reverse=True)
        return IncidentList(items=tuple(found[:limit]), as_of=self.as_of, stale=self.stale)

    async def costs(self, hours: int) -> CostList:
        self._answer()
        found = self.cost_list or costs((), self.as_of or NIGHT, hours).model_copy(update={"as_of": self.as_of})
        until_ = found.until
        return found.model_copy(update={"since": until_ - timedelta(hours=hours), "stale": self.stale})

    async def change(self, incident_id: str, change: Change, reason: str, token: str | None) -> None:
        self._answer()
        if self.demands is not None and token != self.demands:
            raise RefusedError(401, "A token is needed")
        for number, found in enumerate(self.items):
            if found.id == incident_id:
                if found.state == "resolved" or CHANGED_TO[change] == found.state:
                    raise RefusedError(409, f"it is {found.state} already")
                self.changes.append((incident_id, change, reason, token))
                step = Transition(
                    at=self.as_of or NIGHT,
                    from_state=found.state,
                    to_state=CHANGED_TO[change],
                    actor="local",
                    reason=reason,
                )
                update = {"state": CHANGED_TO[change], "transitions": (*found.transitions, step)}
                self.items[number] = found.model_copy(update=update)
                return
        raise RefusedError(404, "there is no such incident")

    def _answer(self) -> None:
        self.asked += 1
        if self.fault is not None:
            raise UnreachableError(self.fault)


def fake_api(fake: FakeAlerter) -> FastAPI:
    """The alerter's API over HTTP, as far as the dashboard asks for it, answered by the fake."""
    app = make_app("alerter", Probe("alerter"), title="fake", description="fake", body_bytes_max=65_536)

    def tagged(model: IncidentList | CostList, seen: str | None) -> Response:
        body = model.model_dump_json()
        tag = f'"{hash(body)}"'
        if seen == tag:
            return Response(status_code=304, headers={"ETag": tag})
        return Response(body, media_type="application/json", headers={"ETag": tag})

    def said(error: RefusedError | UnreachableError) -> ProblemError:
        status = error.status if isinstance(error, RefusedError) else 503
        return ProblemError(status, error.detail if isinstance(error, RefusedError) else str(error))

    @app.get("/v1/incidents")
    async def incidents(
        state: IncidentState, limit: Annotated[int, Query(ge=1)], if_none_match: Annotated[str | None, Header()] = None
    ) -> Response:
        try:
            return tagged(await fake.incidents(state, limit), if_none_match)
        except (RefusedError, UnreachableError) as error:
            raise said(error) from error

    @app.get("/v1/costs")
    async def costs_(hours: int, if_none_match: Annotated[str | None, Header()] = None) -> Response:
        try:
            return tagged(await fake.costs(hours), if_none_match)
        except (RefusedError, UnreachableError) as error:
            raise said(error) from error

    @app.post("/v1/incidents/{incident_id}/{change}")
    async def change_(
        incident_id: str, change: Change, body: TransitionRequest, authorization: Annotated[str | None, Header()] = None
    ) -> Response:
        token = authorization.removeprefix("Bearer ") if authorization else None
        try:
            await fake.change(incident_id, change, body.reason, token)
        except (RefusedError, UnreachableError) as error:
            raise said(error) from error
        return Response("{}", media_type="application/json")

    return app


class FakePainter:
    """Draws at once, or when let; or never."""

    def __init__(self) -> None:
        self.drawn = 0
        self.fails = False
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()

    async def pareto(self, bars: tuple[Bar, ...], currency: str) -> dict[tuple[Size, Theme], bytes]:
        await self.may_go_on.wait()
        self.drawn += 1
        if self.fails:
            raise DrawError("no ink")
        svg = f'<svg xmlns="http://www.w3.org/2000/svg"><title>{len(bars)} {currency} {self.drawn}</title></svg>'
        return {(size, theme): svg.encode() for size in ("wide", "narrow") for theme in ("light", "dark")}


def bad_night() -> FakeAlerter:
    """Cash machines in Spain have been failing for twenty minutes, two more incidents are known, one is over."""
    return FakeAlerter(
        items=[
            incident(),
            incident(
                "inc-login-de",
                country="DE",
                topic="login",
                team="digital-identity",
                state="acknowledged",
                observed=118,
                expected=70.2,
                cost="301.20",
            ),
            incident(
                "inc-fees-pl",
                country="PL",
                topic="fees",
                team="pricing",
                state="resolved",
                observed=45,
                expected=20.0,
                cost="96.00",
            ),
        ],
        cost_list=costs(BANK),
    )


def dashboard(
    alerter: Alerter | None, painter: Painter | None = None, settings: Settings | None = None
) -> tuple[Service, httpx.AsyncClient]:
    """A dashboard in this process, and a client that asks it as a browser would, without a socket."""
    service = build(settings or Settings(), alerter=alerter, painter=painter)
    transport = httpx.ASGITransport(app=service.app, raise_app_exceptions=False)
    return service, httpx.AsyncClient(transport=transport, base_url="http://dashboard.test")


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # Ctrl-C is pytest's


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[str]:
    """The application on a free port of loopback; yields its base URL."""
    server = _Server(uvicorn.Config(app, port=0, log_config=None, access_log=False))
    task = asyncio.create_task(server.serve())
    try:
        await until(lambda: server.started or task.done())
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
