"""The drawing process: `python -m pegel.dashboard.adapters.draw` reads a request, writes SVGs, ends.

In: {"currency": "EUR", "bars": [{"label", "amount", "running"}, ...]}. Out: {"wide.light": "<svg...", ...}.
A Pareto: bars of cost by cause, dearest first, and the running share of the sum as a line over the same rows.
"""

import json
import os
import sys
from typing import Any, Final

import altair as alt
import vl_convert

FONT: Final = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
SIZES: Final[dict[str, dict[str, int]]] = {
    "wide": {"width": 430, "row": 36, "font": 13, "label": 200, "ticks": 4},
    "narrow": {"width": 188, "row": 28, "font": 12, "label": 120, "ticks": 3},
}
WIDEST_LETTER: Final = 0.62
"""Mean width of a letter, of the font's size, in the widest fonts of FONT (DejaVu Sans and Verdana)."""

LABEL_GAP: Final = 8
THEMES: Final = {
    "light": {
        "bar": "#2f7391",
        "line": "#a8571b",
        "text": "#1d2b33",
        "muted": "#56666f",
        "grid": "#dde3e4",
        "halo": "#ffffff",
    },
    "dark": {
        "bar": "#5aa3c4",
        "line": "#e9a15b",
        "text": "#e6edf0",
        "muted": "#a3b2ba",
        "grid": "#2d3b43",
        "halo": "#182329",
    },
}


def pareto(bars: list[dict[str, str]], currency: str, size: str, theme: str) -> dict[str, Any]:
    """The Vega-Lite document of one picture."""
    measure, colour = SIZES[size], THEMES[theme]
    # Amounts become floats here and nowhere else: for the length of a bar.
    values = [
        {"cause": bar["label"], "order": n, "amount": float(bar["amount"]), "running": float(bar["running"])}
        for n, bar in enumerate(bars)
    ]
    order = [bar["label"] for bar in bars]
    # Labels are shown in the reader's font, which may be wider than the one that the space was measured with.
    longest = max((len(label) for label in order), default=0) * measure["font"] * WIDEST_LETTER
    extent = min(measure["label"], round(longest)) + LABEL_GAP
    base = alt.Chart({"values": values}).encode(
        y=alt.Y(
            "cause:N",
            sort=order,
            title=None,
            axis=alt.Axis(
                labelLimit=measure["label"], labelPadding=LABEL_GAP, minExtent=extent, ticks=False, domain=False
            ),
        )
    )
    cost = base.mark_bar(color=colour["bar"], cornerRadiusEnd=3, height={"band": 0.62}).encode(
        x=alt.X(
            "amount:Q",
            title=f"Cost, {currency}",
            axis=alt.Axis(
                orient="bottom",
                labelExpr="datum.value == 0 ? '0' : format(datum.value, '~s')",
                tickCount=measure["ticks"],
                grid=True,
                titleColor=colour["bar"],
            ),
            scale=alt.Scale(domainMin=0, nice=True),
        )
    )
    share = alt.X(
        "running:Q",
        title="Running share of all, %",
        axis=alt.Axis(orient="top", values=[0, 50, 80, 100], grid=False, titleColor=colour["line"]),
        scale=alt.Scale(domain=[0, 100], nice=False),
    )
    line = base.mark_line(color=colour["line"], strokeWidth=2).encode(x=share, order="order:O")
    halo = base.mark_line(color=colour["halo"], strokeWidth=5).encode(x=share, order="order:O")
    points = base.mark_point(
        color=colour["line"], filled=True, size=40, opacity=1, stroke=colour["halo"], strokeWidth=1.5
    ).encode(x=share)
    chart = (
        alt.layer(cost, halo + line + points)
        .resolve_scale(x="independent")
        .properties(width=measure["width"], height=alt.Step(measure["row"]), padding=4)
        .configure(background="transparent", font=FONT)
        .configure_view(stroke=None)
        .configure_axis(
            labelFontSize=measure["font"],
            titleFontSize=measure["font"],
            titleFontWeight="normal",
            titlePadding=8,
            labelColor=colour["text"],
            gridColor=colour["grid"],
            domainColor=colour["grid"],
            tickColor=colour["grid"],
        )
    )
    document: dict[str, Any] = chart.to_dict()
    return document


def main() -> None:
    os.nice(10)  # nobody is paged later because somebody looks at a chart
    request = json.load(sys.stdin)
    drawn = {
        f"{size}.{theme}": vl_convert.vegalite_to_svg(pareto(request["bars"], request["currency"], size, theme))
        for size in SIZES
        for theme in THEMES
    }
    json.dump(drawn, sys.stdout)


if __name__ == "__main__":
    main()
