"""Drawings: rows of a measurement group as one SVG, by altair and vl-convert.

Made for ``reports._render.page``. A chart repeats a table and is never the only place of a number. It holds no script and
no inline style, asks no address for anything, and has a width that a telephone shows unscaled.
"""

from __future__ import annotations

from collections.abc import Sequence

from reports._render.measured import Bar

#: Most rows of one chart; the table beside it holds all of them.
MOST_BARS = 14
_WIDTH, _ROW = 300, 44
#: Middle tones that reach 3:1 on the light and on the dark page; texts take the page's own color from its style sheet.
_ADAPTER, _BASE, _LIMIT = "#2f74d0", "#77839a", "#c2570c"
_LABEL_CHARS = 44


def interval_chart(bars: Sequence[Bar]) -> str:
    """Return an SVG: for each row the base as a ring, the adapter as a dot with its interval, the limit as a line.

    Args:
        bars: What to draw, top to bottom; only the first ``MOST_BARS`` are drawn.

    Returns:
        An ``svg`` element whose texts are escaped; an empty text if there is nothing to draw.
    """
    shown = list(bars)[:MOST_BARS]
    if not shown:
        return ""
    import altair
    import vl_convert

    rows = [_record(place, bar) for place, bar in enumerate(shown)]
    values = [v for bar in shown for v in (bar.start, bar.end, bar.low, bar.high, bar.limit) if v is not None]
    left = min(values)
    span = (max(values) - left) or 1.0
    x = altair.Scale(domain=[left - 0.06 * span, left + 1.06 * span], nice=False, zero=False)
    y = altair.Scale(domain=[-0.62, len(shown) - 0.38], reverse=True, nice=False, zero=False)
    axis = altair.Axis(title=None, tickCount=4, labelFontSize=11, labelPadding=4, ticks=False, domain=False, gridOpacity=0.5)
    across = altair.Chart(altair.Data(values=rows)).encode(y=altair.Y("place:Q", scale=y, axis=None))
    at = {name: altair.X(f"{name}:Q", scale=x, axis=axis) for name in ("start", "end", "low", "limit")}

    def having(name: str) -> altair.Chart:
        return across.transform_filter(f"isValid(datum.{name})")

    tick = {"color": _LIMIT, "thickness": 2.5, "size": 20, "orient": "vertical", "opacity": 1}
    layers = [
        having("start").mark_rule(color=_BASE, strokeDash=[2, 3]).encode(x=at["start"], x2="end:Q"),
        having("low").mark_rule(color=_ADAPTER, strokeWidth=3, strokeCap="round").encode(x=at["low"], x2="high:Q"),
        having("limit").mark_tick(**tick).encode(x=at["limit"]),
        having("start").mark_point(color=_BASE, size=80, strokeWidth=2, filled=False, opacity=1).encode(x=at["start"]),
        across.mark_point(color=_ADAPTER, size=90, filled=True, opacity=1).encode(x=at["end"]),
        across.mark_text(align="left", dy=-16, fontSize=12, fontWeight=600).encode(x=altair.value(0), text="label:N"),
    ]
    drawing = (
        altair.layer(*layers)
        .properties(
            width=_WIDTH,
            height=_ROW * len(shown),
            background="transparent",
            padding={"left": 6, "right": 14, "top": 6, "bottom": 4},
        )
        .configure(aria=False, font="system-ui, sans-serif")
        .configure_view(stroke=None)
    )
    svg: str = vl_convert.vegalite_to_svg(drawing.to_dict(), vl_version="6.4", allowed_base_urls=[])
    return svg


def _record(place: int, bar: Bar) -> dict[str, float | str | None]:
    label = bar.label if len(bar.label) <= _LABEL_CHARS else bar.label[: _LABEL_CHARS - 1] + "…"
    return {
        "place": float(place), "label": label, "start": bar.start, "end": bar.end,
        "low": bar.low, "high": bar.high, "limit": bar.limit,
    }  # fmt: skip
