"""Pages as signed calls by Standard Webhooks 1.0 (github.com/standard-webhooks/standard-webhooks)."""

import math
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import httpx
from standardwebhooks import Webhook
from standardwebhooks.webhooks import EmptyWebhookSecretError

from pegel.alerter.paging.domain.text import line
from pegel.alerter.paging.ports import Failed, Notifier, Outcome, Refused, Sent
from pegel.runtime.settings import ConfigurationError
from pegel.schemas.incident import Money
from pegel.schemas.page import Page, PageCall, PageData, PageEvent, PageKind

TIMEOUT: Final = httpx.Timeout(10.0, connect=5.0)
EVENTS: Final[dict[PageKind, PageEvent]] = {
    "opened": "incident.opened",
    "reopened": "incident.reopened",
    "resolved": "incident.resolved",
}
AGAIN: Final = frozenset({408, 425, 429})
"""Statuses of the 4xx that say nothing against the page."""


class WebhookNotifier(Notifier):
    """Calls one URL. Raises ConfigurationError when the URL or the secret can't be used.

    transport: for tests; None calls over the network. Redirects are not followed: a page goes where it was told to go.
    """

    def __init__(self, url: str, secret: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        try:
            self._url = httpx.URL(url)
        except httpx.InvalidURL:
            self._url = httpx.URL()
        if self._url.scheme not in ("http", "https") or not self._url.host:
            raise ConfigurationError(["PEGEL_WEBHOOK_URL is no http:// or https:// address"])
        try:
            self._webhook = Webhook(secret)
        except (ValueError, RuntimeError, EmptyWebhookSecretError):
            raise ConfigurationError(["PEGEL_WEBHOOK_SECRET is no secret of the form whsec_BASE64"]) from None
        self._client = httpx.AsyncClient(transport=transport, timeout=TIMEOUT, follow_redirects=False, trust_env=False)

    @property
    def receiver(self) -> str:
        return "webhook"

    async def send(self, page_id: str, page: Page, cost: Money | None, now: datetime) -> Outcome:
        data = PageData(**page.model_dump(), cost=cost, text=line(page, cost))
        body = PageCall(type=EVENTS[page.kind], timestamp=page.at, data=data).model_dump_json()
        headers = {
            "content-type": "application/json",
            "webhook-id": page_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._webhook.sign(page_id, now.astimezone(UTC), body),
        }
        try:
            answer = await self._client.post(self._url, content=body.encode(), headers=headers)
        except httpx.HTTPError as error:
            return Failed(f"no answer ({type(error).__name__})")
        return _outcome(answer, now)

    async def close(self) -> None:
        await self._client.aclose()


def _outcome(answer: httpx.Response, now: datetime) -> Outcome:
    status = answer.status_code
    if answer.is_success:
        return Sent(f"answered {status}")
    if answer.is_server_error or status in AGAIN:
        return Failed(f"answered {status}", retry_after_seconds(answer.headers.get("retry-after"), now))
    if answer.is_redirect:
        return Refused(f"answered {status}: redirects are not followed, PEGEL_WEBHOOK_URL must be the final address")
    return Refused(f"answered {status}")


def retry_after_seconds(value: str | None, now: datetime) -> float | None:
    """Retry-After (RFC 9110, 10.2.3): seconds or an HTTP date; None when it says nothing that can be used."""
    if value is None:
        return None
    try:
        seconds = float(value) if value.strip().isdigit() else (parsedate_to_datetime(value) - now).total_seconds()
    except (ValueError, TypeError):
        return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None
