"""Who looks and who clicks: a bearer token in the header or, for a browser, in a cookie; and whose form it is."""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs, urlsplit

from fastapi import Request, Response

from pegel.runtime.auth import LOCAL, Principal, Tokens
from pegel.runtime.http import ProblemError

COOKIE: Final = "pegel_token"
TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/=-]{1,512}")
"""RFC 6750's b64token; nothing in it needs quoting in a cookie."""

FORM: Final = "application/x-www-form-urlencoded"
FORM_FIELDS_MAX: Final = 10


class SignInError(Exception):
    """A page was asked for without a token that may see it. status: 401, or 403 with a token that may not."""

    def __init__(self, status: int, detail: str | None = None) -> None:
        super().__init__(detail or str(status))
        self.status, self.detail = status, detail


@dataclass(frozen=True)
class Caller:
    """Who asks. token: the caller's own, None where there is none; it is passed on with what the caller changes."""

    principal: Principal
    token: str | None


class Access:
    """Knows callers. Without a tokens file (loopback only) everybody may look, and the alerter decides on changes."""

    def __init__(self, tokens: Tokens) -> None:
        self.tokens = tokens

    def viewer(self, request: Request) -> Caller:
        """Raises SignInError."""
        token = token_of(request)
        if not self.tokens.needed:
            return Caller(LOCAL, token)
        principal = self.known(token)
        if principal is None:
            raise SignInError(401, "This token is not known." if token else None)
        if not principal.may("viewer"):
            raise SignInError(403, f"This token is a {principal.role}'s and can't look at pages.")
        return Caller(principal, token)

    def known(self, token: str | None) -> Principal | None:
        return self.tokens.principal(f"Bearer {token}") if token else None


def token_of(request: Request) -> str | None:
    """The caller's token, of the Authorization header or else of the cookie."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    found = token.strip() if scheme.lower() == "bearer" else request.cookies.get(COOKIE, "")
    return found if TOKEN.fullmatch(found) else None


def keep_token(request: Request, response: Response, token: str | None) -> None:
    """Put the token into a cookie that no script can read; None: take it away.

    Lax: a link in a chat at night is to open the page, not the form for a token. Another site's form sends no cookie,
    and would not get past `own_form`.
    """
    secure = request.url.scheme == "https"
    if token is None:
        response.delete_cookie(COOKIE, httponly=True, samesite="lax", secure=secure)
    else:
        response.set_cookie(COOKIE, token, httponly=True, samesite="lax", secure=secure)


def own_form(request: Request) -> None:
    """A dependency: the form stood on our own page, by the browser's word. Raises ProblemError 403.

    Sec-Fetch-Site where the browser sends it (it does on https and on loopback), else Origin against Host. A request
    that says neither comes from no browser of the last years: programs are to use the alerter's API.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        own = site == "same-origin"
    else:
        origin = request.headers.get("origin", "")
        own = bool(origin) and urlsplit(origin).netloc == request.headers.get("host")
    if not own:
        raise ProblemError(403, "this form was not sent from a page of Pegel; programs use the alerter's API")


async def form_of(request: Request) -> dict[str, str]:
    """The fields of a form, the first value of each. Raises ProblemError 415, 400."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise ProblemError(415, f"send {FORM}")
    try:
        text = (await request.body()).decode("ascii")
        fields = parse_qs(text, keep_blank_values=True, errors="strict", max_num_fields=FORM_FIELDS_MAX)
    except ValueError:  # not ASCII, not UTF-8 behind the percent signs, or too many fields
        raise ProblemError(400, "the form can't be read") from None
    return {name: values[0] for name, values in fields.items()}
