"""Colours and type of every figure, for light and for dark: one place, given to the plotting library as its
configuration, so that a figure itself names roles only and can be drawn either way.

Series differ in colours that people with any colour vision tell apart (after Okabe and Ito, "Color Universal
Design", 2008, darkened on white to a contrast of 3), and in shape as well.
"""

from dataclasses import dataclass
from typing import Any

#: One fewer than colours: pairs repeat only after all of both were used.
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")
FONT_SIZE = 12


@dataclass(frozen=True)
class Theme:
    """Colours by what they stand for."""

    paper: str
    ink: str
    faint: str  # axes, roofs, rules
    grid: str
    series: tuple[str, ...]


LIGHT = Theme(
    paper="#ffffff",
    ink="#1b1f24",
    faint="#57606a",
    grid="#e4e7eb",
    series=("#0072b2", "#c65102", "#007e5c", "#a8478a", "#7a6400", "#3b7f9e", "#444c56"),
)
DARK = Theme(
    paper="#14171c",
    ink="#e8eaed",
    faint="#a3abb5",
    grid="#2b3038",
    series=("#56b4e9", "#e69f00", "#2cc39a", "#e79ac6", "#f0e442", "#9db8ff", "#c8ccd2"),
)


def configuration(theme: Theme, fonts: str = "system-ui, sans-serif") -> dict[str, Any]:
    """Return a theme as Vega-Lite's `config`."""
    words = {"font": fonts, "fontSize": FONT_SIZE, "color": theme.ink}
    return {
        "background": theme.paper,
        "font": fonts,
        "padding": 4,
        "view": {"stroke": None, "continuousHeight": 380},
        "axis": {
            "labelColor": theme.ink,
            "titleColor": theme.ink,
            "labelFontSize": FONT_SIZE,
            "titleFontSize": FONT_SIZE,
            "titleFontWeight": "normal",
            "titlePadding": 8,
            "gridColor": theme.grid,
            "domainColor": theme.faint,
            "tickColor": theme.faint,
            "labelOverlap": "greedy",
        },
        "axisX": {"labelFlush": False},
        "legend": {
            "labelColor": theme.ink,
            "titleColor": theme.ink,
            "labelFontSize": FONT_SIZE,
            "titleFontSize": FONT_SIZE,
            "titleFontWeight": "normal",
            "symbolStrokeWidth": 2,
        },
        "title": {"color": theme.ink, "anchor": "start", "fontSize": 14, "fontWeight": "bold"},
        "range": {"category": list(theme.series), "symbol": list(SHAPES)},
        "style": {
            "roof": {"color": theme.faint, "strokeWidth": 1.5},
            "at": {"color": theme.faint, "strokeDash": [4, 3]},
            "words": words,
            "faint-words": {**words, "color": theme.faint},
            # Drawn below words of the same place, so that lines do not cross them out.
            "halo": {**words, "stroke": theme.paper, "strokeWidth": 4, "strokeJoin": "round"},
            "bar": {"color": theme.series[0], "stroke": theme.series[0], "strokeWidth": 2},
            "range": {"color": theme.series[0], "fillOpacity": 0.08, "stroke": theme.grid},
            "sample": {"color": theme.series[0], "strokeWidth": 1.5, "strokeOpacity": 0.4},
            "quartiles": {"color": theme.series[0]},
            "median": {"color": theme.ink, "strokeWidth": 2},
            "curve": {"color": theme.series[0], "strokeWidth": 2},
            "point": {"color": theme.series[0]},
        },
    }
