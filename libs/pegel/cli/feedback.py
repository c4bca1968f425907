"""`pegel feedback`: tells the alerter what an incident's page was, as the API does."""

import sys
from typing import Final
from urllib.parse import quote

import httpx
from pydantic import ValidationError

from pegel.runtime.settings import ConfigurationError, Settings
from pegel.schemas.feedback import Feedback, FeedbackRequest
from pegel.schemas.rejected import Problem

ANSWER_SECONDS_MAX: Final = 10.0
FAILED: Final = 1


def give(settings: Settings, incident_id: str, verdict: str, given_by: str | None) -> int:
    """0 once the alerter has it, 1 when it refuses or can't be reached. verdict: as in FeedbackRequest.

    Raises ConfigurationError when given_by can't be a team's id.
    """
    try:
        request = FeedbackRequest.model_validate({"verdict": verdict, "given_by": given_by})
    except ValidationError:
        raise ConfigurationError([f"--by {given_by}: is no id of a team"]) from None
    url = f"{settings.resolved_alerter_url.rstrip('/')}/v1/incidents/{quote(incident_id, safe='')}/feedback"
    headers = {"Content-Type": "application/json"}
    if settings.token is not None:
        headers["Authorization"] = f"Bearer {settings.token.get_secret_value()}"
    try:
        with httpx.Client(timeout=ANSWER_SECONDS_MAX, trust_env=False) as client:
            answer = client.post(url, content=request.model_dump_json(), headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return _failed(f"PEGEL_ALERTER_URL={settings.resolved_alerter_url}: {error or type(error).__name__}")
    if answer.status_code != httpx.codes.OK:
        return _failed(_reason(answer))
    given = Feedback.model_validate_json(answer.content)
    said = f"{', '.join(given.segment.values())}: {given.verdict}, said by {given.given_by};"
    if given.undone_at is not None:
        print(f"{said} it is taken back, from {given.undone_at:%Y-%m-%dT%H:%MZ} on")
    else:
        print(f"{said} it holds from {given.holds_from:%Y-%m-%dT%H:%MZ} on")
    return 0


def _failed(why: str) -> int:
    print(why, file=sys.stderr)
    return FAILED


def _reason(answer: httpx.Response) -> str:
    try:
        problem = Problem.model_validate_json(answer.content)
    except ValidationError:
        return f"the alerter answered {answer.status_code}"
    faults = "; ".join(f"{error.field}: {error.reason}" for error in problem.errors or ())
    return f"{problem.detail or faults or problem.title} ({answer.status_code})"
