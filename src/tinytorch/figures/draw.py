"""What all figures share: rows of data, scales, words with a halo, and marks that answer when asked.

A mark that answers is drawn under the name ANSWERS and carries what it tells as its description (what a
screen reader says, and what the page shows on focus) and as its tooltip (for notebooks). Fields have fixed
names and what a user named is data only: the plotting library reads dots and brackets in field names.
"""

from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from tinytorch.figures.extra import needs
from tinytorch.figures.scales import Axis

if TYPE_CHECKING:
    import altair

#: Name of the layer of marks that answer; the page finds them in a group of the class `answers_marks`.
ANSWERS = "answers"
#: Vega's expression for a tick with a prefix: 100M.
PREFIXED = "format(datum.value, '~s')"


def library() -> ModuleType:
    """Return altair. Raises MissingExtraError."""
    return needs("altair")


def rows(table: Iterable[Mapping[str, Any]]) -> Any:
    """Return data for a layer."""
    return library().InlineData(values=[dict(row) for row in table])


def scale(axis: Axis, **options: Any) -> Any:
    """Return a scale from one end of the axis to the other."""
    if axis.kind == "linear":
        options["zero"] = False  # the axis begins where it says
    return library().Scale(type=axis.kind, domain=[axis.low, axis.high], nice=False, **options)


def ticks(axis: Axis, **options: Any) -> Any:
    """Return an axis with its ticks."""
    options |= {"tickCount": 5} if axis.ticks is None else {"values": list(axis.ticks)}
    return library().Axis(**options)


def answering(layer: Any) -> Any:
    """Make a layer's marks tell their field `told`."""
    alt = library()
    return layer.encode(description=alt.Description("told:N"), tooltip=alt.Tooltip("told:N")).properties(
        name=ANSWERS
    )


def words(data: Any, style: str, encoding: Mapping[str, Any], **mark: Any) -> "altair.LayerChart":
    """Write the field `text`, readable across lines: a halo first, the words on it."""
    alt = library()
    base = alt.Chart(data).encode(**{"text": "text:N", **encoding})
    options = {"align": "left", "baseline": "middle", "aria": False, **mark}
    return alt.layer(base.mark_text(style="halo", **options), base.mark_text(style=style, **options))
