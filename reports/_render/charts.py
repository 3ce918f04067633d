"""Drawings: rows of a measurement group as SVG, by altair and vl-convert.

Made for ``reports._render.page``. A chart repeats a table and is never the only place of a number. It holds no script and
no inline style, asks no address for anything, and has a width that a telephone shows unscaled. What a color says, a shape
and a word say too; blue and vermilion stay apart for every common kind of color blindness.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from reports._render.drawn import Bar, Difference

if TYPE_CHECKING:
    import altair

#: Most rows of one chart; the table beside it holds all of them.
MOST_BARS = 14
_WIDTH, _ROW = 300, 40
#: Middle tones that reach 3:1 on the light and on the dark page; texts take the page's own color from its style sheet.
_ADAPTER, _BASE, _LIMIT, _BAD = "#2f74d0", "#77839a", "#8f67cc", "#d0530f"
#: Color, shape and whether it is filled, by what the outcome asks for.
_MARKS = {
    "good": (_ADAPTER, "circle", True), "bad": (_BAD, "diamond", True),
    "open": (_BASE, "square", False), "": (_BASE, "circle", False),
}  # fmt: skip
_LABEL_CHARS = 44
#: With an outcome at the end of its line a label has less room.
_LABEL_CHARS_BESIDE = 32


def forest_chart(differences: Sequence[Difference]) -> str:
    """Return an SVG: for each row adapter minus base with its interval, the base as a line at zero, the margin as a tick.

    Args:
        differences: What to draw, top to bottom, in one unit; only the first ``MOST_BARS`` are drawn.

    Returns:
        An ``svg`` element whose texts are escaped; an empty text if there is nothing to draw.

    Source:
        Lewis and Clarke, BMJ 322 (2001), 1479–1480: forest plots.
    """
    shown = list(differences)[:MOST_BARS]
    if not shown:
        return ""
    import altair

    rows = [
        {
            "place": float(place), "label": _cut(d.label, _LABEL_CHARS_BESIDE if d.outcome else _LABEL_CHARS), "value": d.value,
            "low": d.low, "high": d.high, "limit": d.limit, "outcome": d.outcome, "tone": d.tone, "detail": d.is_detail,
        }
        for place, d in enumerate(shown)
    ]  # fmt: skip
    values = [v for d in shown for v in (0.0, d.value, d.low, d.high, d.limit) if v is not None]
    panel = _Panel(rows, values, "+")
    limits = {d.limit for d in shown}
    tick = {"color": _LIMIT, "thickness": 2.5, "size": 18, "orient": "vertical", "opacity": 1}
    layers = [panel.line(0.0, color=_BASE, strokeWidth=1.5)]
    for tone, (color, shape, filled) in _MARKS.items():
        if not any(d.tone == tone for d in shown):
            continue
        mine = panel.where(f"datum.tone === '{tone}'")
        point = {"color": color, "shape": shape, "size": 100, "filled": filled, "strokeWidth": 2, "opacity": 1}
        layers.append(
            mine.transform_filter("isValid(datum.low)")
            .mark_rule(color=color, strokeWidth=2.5)
            .encode(x=panel.at("low"), x2="high:Q")
        )
        layers.append(mine.mark_point(**point).encode(x=panel.at("value")))
    if len(limits) == 1 and (limit := limits.pop()) is not None:
        layers.insert(1, panel.line(limit, color=_LIMIT, strokeWidth=2, strokeDash=[5, 3]))
    else:
        layers.append(panel.where("isValid(datum.limit)").mark_tick(**tick).encode(x=panel.at("limit")))
    layers += panel.labels()
    ends = {"align": "right", "dy": -15, "fontSize": 11, "fontStyle": "italic"}
    layers.append(panel.where("datum.outcome !== ''").mark_text(**ends).encode(x=altair.value(_WIDTH), text="outcome:N"))
    return _svg(layers, len(shown))


def dots_chart(bars: Sequence[Bar]) -> str:
    """Return an SVG: for each row the base as a ring and the adapter as a dot, with its own interval where it has one.

    Args:
        bars: What to draw, top to bottom; only the first ``MOST_BARS`` are drawn.

    Returns:
        An ``svg`` element whose texts are escaped; an empty text if there is nothing to draw.
    """
    shown = list(bars)[:MOST_BARS]
    if not shown:
        return ""
    rows = [
        {
            "place": float(place), "label": _cut(b.label, _LABEL_CHARS), "start": b.start, "end": b.end,
            "low": b.low, "high": b.high, "detail": b.is_detail,
        }
        for place, b in enumerate(shown)
    ]  # fmt: skip
    panel = _Panel(rows, [v for b in shown for v in (b.start, b.end, b.low, b.high) if v is not None], "")
    based = panel.where("isValid(datum.start)")
    layers = [
        based.mark_rule(color=_BASE, strokeDash=[2, 3]).encode(x=panel.at("start"), x2="end:Q"),
        panel.where("isValid(datum.low)").mark_rule(color=_ADAPTER, strokeWidth=3).encode(x=panel.at("low"), x2="high:Q"),
        panel.all().mark_point(color=_ADAPTER, size=60, filled=True, opacity=1).encode(x=panel.at("end")),
        based.mark_point(color=_BASE, size=120, strokeWidth=2, filled=False, opacity=1).encode(x=panel.at("start")),
        *panel.labels(),
    ]
    return _svg(layers, len(shown))


class _Panel:
    """Rows below each other over one horizontal axis.

    Args:
        rows: With ``place``, ``label`` and ``detail``.
        values: Everything that has to fit on the axis.
        sign: ``+`` if the axis shows differences.
    """

    def __init__(self, rows: Sequence[dict[str, float | str | bool | None]], values: Iterable[float], sign: str) -> None:
        import altair

        numbers = list(values)
        left = min(numbers)
        span = (max(numbers) - left) or 1.0
        self.x = altair.Scale(domain=[left - 0.06 * span, left + 1.06 * span], nice=False, zero=False)
        self.axis = altair.Axis(
            title=None, tickCount=4, labelFontSize=11, labelPadding=4, ticks=False, domain=False, gridOpacity=0.5,
            format=f"{sign}.3~g", labelExpr="datum.value === 0 ? '0' : datum.label",
        )  # fmt: skip
        y = altair.Scale(domain=[-0.62, len(rows) - 0.38], reverse=True, nice=False, zero=False)
        self._across = altair.Chart(altair.Data(values=list(rows))).encode(y=altair.Y("place:Q", scale=y, axis=None))

    def all(self) -> altair.Chart:
        """Return every row."""
        return self._across

    def where(self, condition: str) -> altair.Chart:
        """Return the rows for which a condition of ours holds."""
        return self._across.transform_filter(condition)

    def line(self, value: float, **look: object) -> altair.Chart:
        """Return a line through all rows at a value."""
        import altair

        place = altair.X("at:Q", scale=self.x, axis=self.axis)
        return altair.Chart(altair.Data(values=[{"at": value}])).mark_rule(**look).encode(x=place)

    def at(self, name: str) -> altair.X:
        """Return the place of a value on the axis."""
        import altair

        return altair.X(f"{name}:Q", scale=self.x, axis=self.axis)

    def labels(self) -> list[altair.Chart]:
        """Return each row's label above its line: a family's heavier than a task's."""
        import altair

        said = {"align": "left", "dy": -15, "fontSize": 12}
        encoded = {"x": altair.value(0), "text": "label:N"}
        return [
            self.where("!datum.detail").mark_text(**said, fontWeight=600).encode(**encoded),
            self.where("datum.detail").mark_text(**said).encode(**encoded),
        ]


def _svg(layers: Sequence[altair.Chart], rows: int) -> str:
    import altair
    import vl_convert

    drawing = (
        altair.layer(*layers)
        .properties(
            width=_WIDTH, height=_ROW * rows, background="transparent", padding={"left": 6, "right": 14, "top": 6, "bottom": 4}
        )
        .configure(aria=False, font="system-ui, sans-serif")
        .configure_view(stroke=None)
    )
    svg: str = vl_convert.vegalite_to_svg(drawing.to_dict(), vl_version="6.4", allowed_base_urls=[])
    return svg


def _cut(label: str, most: int) -> str:
    return label if len(label) <= most else label[: most - 1] + "…"
