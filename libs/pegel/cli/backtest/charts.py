"""Pictures of the report: Vega-Lite by altair, compiled once, filled for each page, drawn as SVG by vl-convert.

A picture goes into the page itself, and is drawn in colours that stand for the page's own (CSS variables), so that one
fits light and dark. It is as wide as a phone, and never shrinks: text stays as large as the page's.
"""

import copy
import json
import math
import re
from typing import Any, Final

import altair as alt
import numpy as np
import vl_convert

from pegel.cli.backtest.alarms import Alarm
from pegel.cli.backtest.curves import Curve

FONT: Final = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
COLOURS: Final = {
    "ink": "#010203",
    "muted": "#010204",
    "line": "#010205",
    "bar": "#010206",
    "alarm": "#010207",
    "band": "#010208",
    "usual": "#010209",
    "marked": "#01020a",
}
"""Name of a variable to the colour that stands for it in the drawing."""

WIDTH, HEIGHT = 330, 170
AXIS: Final[dict[str, Any]] = {
    "labelFontSize": 12,
    "titleFontSize": 12,
    "titleFontWeight": "normal",
    "labelColor": COLOURS["muted"],
    "titleColor": COLOURS["muted"],
    "gridColor": COLOURS["line"],
    "domainColor": COLOURS["line"],
    "tickColor": COLOURS["line"],
    "aria": False,
}


class PageCharts:
    """The chart of a page: contacts, what is usual, the usual range, and the marked time."""

    def __init__(self) -> None:
        self._vega: dict[str, Any] = vl_convert.vegalite_to_vega(_page_chart().to_dict())
        self._drawn = 0

    def draw(self, curve: Curve, alarm: Alarm, over_at: int, offset_seconds: int, label: str) -> str:
        """offset_seconds: of local time to UTC; times are drawn as local."""
        lines = curve.lines
        starts = curve.start + np.arange(len(lines.observed)) * curve.step_seconds
        inside = (starts + curve.step_seconds > alarm.onset) & (starts < over_at)
        last = int(starts[-1]) + curve.step_seconds

        def local(at: int) -> int:
            return (at + offset_seconds) * 1000

        points = [
            {"t": local(at), "t2": local(at + curve.step_seconds), "y": y, "e": e, "lo": lo, "hi": hi, "in": up}
            for at, y, e, lo, hi, up in zip(
                starts.tolist(),
                lines.observed.tolist(),
                _short(lines.expected),
                _short(lines.lower),
                _short(lines.upper),
                inside.tolist(),
                strict=True,
            )
        ]
        # A step is drawn from its begin to the next one's: the last needs an end.
        points.append({**points[-1], "t": points[-1]["t2"], "y": 0, "in": False})
        marked = [{"t": local(alarm.onset), "t2": local(min(over_at, last))}]
        paged = [{"t": local(alarm.opened_at)}] if alarm.opened_at <= last else []
        vega = copy.deepcopy(self._vega)
        for data in vega["data"]:
            values = {"points": points, "marked": marked, "paged": paged}.get(data["name"])
            if values is not None:
                data["values"] = values
        self._drawn += 1
        return _page_svg(vl_convert.vega_to_svg(vega), f"chart-{self._drawn}", label)


def _short(values: Any) -> list[float | None]:
    """None (JSON has no nan) is not drawn: a model without a band, a segment's first bucket."""
    return [None if math.isnan(value) else round(value, 2) for value in values.tolist()]


def _page_chart() -> Any:
    points, marked, paged = (alt.NamedData(name=name) for name in ("points", "marked", "paged"))
    time = alt.X(
        "t:T",
        title=None,
        scale=alt.Scale(type="utc", nice=False, padding=0),
        axis=alt.Axis(format="%H:%M", tickCount=4, grid=False, labelOverlap="greedy", labelSeparation=12),
    )
    shade = alt.Chart(marked).mark_rect(color=COLOURS["marked"]).encode(x=time, x2="t2:T")
    count = alt.Axis(tickCount=4, labelExpr="datum.value % 1 == 0 ? format(datum.value, ',') : ''")
    band = (
        alt.Chart(points)
        .mark_area(color=COLOURS["band"], interpolate="step-after")
        .encode(x=time, y=alt.Y("lo:Q", title=None, axis=count), y2="hi:Q")
    )
    bars = (
        alt.Chart(points)
        .mark_rect()
        .encode(
            x=time,
            x2="t2:T",
            y=alt.Y("y:Q", title=None, stack=None, axis=count, scale=alt.Scale(zero=True)),
            y2=alt.Y2Datum(0),
            color=alt.condition("datum.in", alt.value(COLOURS["alarm"]), alt.value(COLOURS["bar"])),
        )
    )
    usual = (
        alt.Chart(points)
        .mark_line(color=COLOURS["usual"], strokeWidth=1.8, interpolate="step-after")
        .encode(x=time, y="e:Q")
    )
    page = alt.Chart(paged).mark_rule(color=COLOURS["ink"], strokeDash=[4, 3], strokeWidth=1.4).encode(x=time)
    return _styled(
        alt.layer(shade, band, bars, usual, page).properties(
            width=WIDTH, height=HEIGHT, padding={"left": 2, "top": 4, "right": 14, "bottom": 2}
        )
    )


def weeks_chart(weeks: list[tuple[str, int]], label: str) -> str:
    """Pages a week: a bar a week, with its number."""
    values = [{"week": name, "pages": pages} for name, pages in weeks]
    base = alt.Chart(alt.InlineData(values=values)).encode(
        x=alt.X(
            "week:N",
            sort=None,
            title=None,
            axis=alt.Axis(labelAngle=0, ticks=False, labelOverlap=True, labelPadding=6),
            scale=alt.Scale(paddingInner=0.35, paddingOuter=0.2),
        ),
        y=alt.Y("pages:Q", title=None, axis=None, scale=alt.Scale(zero=True)),
    )
    bars = base.mark_bar(color=COLOURS["bar"], cornerRadiusEnd=2)
    numbers = base.mark_text(dy=-8, fontSize=13, color=COLOURS["ink"]).encode(text="pages:Q")
    chart = _styled(alt.layer(bars, numbers).properties(width=WIDTH, height=110, padding=4))
    return _page_svg(vl_convert.vegalite_to_svg(chart.to_dict()), "chart-weeks", label)


def _styled(chart: Any) -> Any:
    return (
        chart.configure(background="transparent", font=FONT, aria=False)
        .configure_view(stroke=None)
        .configure_axis(**AXIS)
    )


def _page_svg(svg: str, name: str, label: str) -> str:
    """An SVG as part of the page: colours by name, ids of its own, one picture to a screen reader."""
    for variable, colour in COLOURS.items():
        svg = svg.replace(colour, f"var(--{variable})")
    svg = re.sub(r'id="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", svg)
    svg = re.sub(r' (aria-[a-z]+|role|font-family|pointer-events)="[^"]*"', "", svg)  # the page's own font
    quoted = (
        json.dumps(label, ensure_ascii=False)[1:-1].replace("&", "&amp;").replace('\\"', "&quot;").replace("<", "&lt;")
    )
    return svg.replace("<svg ", f'<svg role="img" aria-label="{quoted}" ', 1)
