"""Where names fit beside points so that nothing is written over anything else.

Names are placed one after the other at the first free place of six about their point; for those without
one the figure has other ways to tell. The width of a
figure changes while it is looked at and a name's does not, so names are placed for several widths. What fits
a width fits all wider ones: boxes move apart sideways and stay as they are up and down.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

#: Of a letter and a line, in pixels, in figures' usual type. Letters on the wide side: fonts differ.
LETTER, LINE = 6.6, 14.0
_GAP, _CLEAR = 9.0, 9.0
#: Share of the figure's width that a name may take.
_LONGEST = 0.45


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels, y downwards."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: "Box") -> bool:
        """Whether two boxes share any area."""
        apart = self.right <= other.left or other.right <= self.left
        return not (apart or self.bottom <= other.top or other.bottom <= self.top)

    def within(self, width: float, height: float) -> bool:
        """Whether it lies in a figure of this size."""
        return self.left >= 0 and self.top >= 0 and self.right <= width and self.bottom <= height


@dataclass(frozen=True)
class Label:
    """A name at its place: `align` of its text, and how far from the point it begins, in pixels."""

    index: int  # of its point
    align: str
    dx: float
    dy: float


def place(
    points: Sequence[tuple[float, float]],
    names: Sequence[str],
    size: tuple[float, float],
    taken: Iterable[Box] = (),
) -> list[Label]:
    """Place the names that fit a figure of `size` beside points in pixels, the first names first.

    >>> place([(60, 50), (64, 50)], ["relu", "add"], (200, 100))
    [Label(index=0, align='right', dx=-9.0, dy=0.0), Label(index=1, align='left', dx=9.0, dy=0.0)]
    """
    # A name keeps off other points by enough not to be taken for theirs.
    near = [Box(x - _CLEAR, y - _CLEAR, x + _CLEAR, y + _CLEAR) for x, y in points]
    boxes, found = list(taken), dict[int, Label]()
    for dy in (0.0, -LINE, LINE):  # level with its point before above or below, where it is less plainly its
        for index, (point, name) in enumerate(zip(points, names, strict=True)):
            if index in found or LETTER * len(name) > _LONGEST * size[0]:
                continue
            others = [*boxes, *near[:index], *near[index + 1 :]]
            for label, box in _sides(index, *point, dy, LETTER * len(name)):
                if box.within(*size) and not any(box.overlaps(other) for other in others):
                    found[index] = label
                    boxes.append(box)
                    break
    return [found[index] for index in sorted(found)]


def _sides(index: int, x: float, y: float, dy: float, width: float) -> Iterator[tuple[Label, Box]]:
    top, bottom = y + dy - LINE / 2, y + dy + LINE / 2
    yield Label(index, "left", _GAP, dy), Box(x + _GAP, top, x + _GAP + width, bottom)
    yield Label(index, "right", -_GAP, dy), Box(x - _GAP - width, top, x - _GAP, bottom)
