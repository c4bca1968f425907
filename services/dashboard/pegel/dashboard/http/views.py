"""HTML from the board: Jinja2 templates beside this file, every value escaped, an unknown one an error."""

import json
from dataclasses import dataclass
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from pegel.dashboard.domain.board import PERIODS, Board
from pegel.dashboard.domain.words import duration_words, plural
from pegel.dashboard.http.access import Caller
from pegel.dashboard.http.files import StaticFile
from pegel.dashboard.http.headers import tag_of

HTMX: Final = {
    "includeIndicatorStyles": False,  # would be an inline style sheet
    "allowEval": False,
    "historyEnabled": False,
    "timeout": 4500,
    "responseHandling": [
        {"code": "204", "swap": False},
        {"code": "304", "swap": False},
        {"code": "[23]..", "swap": True},
        {"code": "[45]..", "swap": False, "error": True},
    ],
}
CHART_WIDTHS: Final = {"wide": 700, "narrow": 320}


@dataclass(frozen=True)
class Rendered:
    """HTML and its entity tag."""

    html: str
    tag: str


class Views:
    """The templates. ingest_url, clock, bucket_seconds: for who wants to feed a first contact."""

    def __init__(
        self, files: dict[str, StaticFile], *, ingest_url: str, clock: str, bucket_seconds: int, signing_in: bool
    ) -> None:
        self._environment = Environment(
            loader=PackageLoader("pegel.dashboard.http"),
            autoescape=select_autoescape(["html", "j2"], default=True),
            undefined=StrictUndefined,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.globals.update(
            periods=PERIODS,
            plural=plural,
            ingest_url=ingest_url,
            clock=clock,
            bucket=duration_words(bucket_seconds),
            signing_in=signing_in,
            htmx_config=json.dumps(HTMX),
            static={name: f"/static/{name}?v={file.sha256[:16]}" for name, file in files.items()},
        )

    def board(self, board: Board, chart: str | None, caller: Caller) -> Rendered:
        """The fragment that is asked again every 5 s; it carries its own tag, to be sent with the next question."""
        content = self._environment.get_template("board.html.j2").render(
            board=board, chart=chart, may_change=caller.principal.may("responder")
        )
        tag = tag_of(content)
        html = self._environment.get_template("fragment.html.j2").render(board=board, content=content, tag=tag)
        return Rendered(html, tag)

    def page(self, board: Board, chart: str | None, caller: Caller, notice: str | None = None) -> Rendered:
        """The whole page. notice: what became of a click that went wrong."""
        html = self._environment.get_template("page.html.j2").render(
            board=board, fragment=self.board(board, chart, caller).html, caller=caller, notice=notice
        )
        return Rendered(html, tag_of(html))

    def sign_in(self, notice: str | None, *, signed_in: bool) -> str:
        return self._environment.get_template("sign_in.html.j2").render(notice=notice, signed_in=signed_in)
