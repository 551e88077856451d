"""A figure as a file for a paper or a README: PNG or SVG, without a browser and without the network."""

from pathlib import Path
from typing import TYPE_CHECKING

from tinytorch.figures.extra import needs
from tinytorch.figures.page import specification
from tinytorch.figures.theme import LIGHT, configuration
from tinytorch.runtime.files import check_writable, write_whole

if TYPE_CHECKING:
    import altair

#: Pixels of the plot in a file: a column of text.
WIDTH = 640
#: Of PNG: pixels of the file for one of the figure.
SCALE = 2.0
_FONTS = "Liberation Sans, Arial, Helvetica, sans-serif"


def save(chart: "altair.LayerChart", path: Path | str, width: int = WIDTH) -> None:
    """Write a figure as PNG (at twice its size) or SVG, by the file's name, on white.

    Raises ValueError for another suffix or a place that cannot be written, MissingExtraError.

    >>> save(None, "roofline.gif")
    Traceback (most recent call last):
    ...
    ValueError: a figure is written as .png or .svg, not as roofline.gif
    """
    target = Path(path)
    suffix = target.suffix.lower()
    if suffix not in (".png", ".svg"):
        raise ValueError(f"a figure is written as .png or .svg, not as {target}")
    check_writable(target, "the figure")
    convert = needs("vl_convert")
    spec = {**specification(chart), "width": width}
    options = {"config": configuration(LIGHT, _FONTS), "allowed_base_urls": []}
    if suffix == ".png":
        write_whole(target, convert.vegalite_to_png(spec, scale=SCALE, **options))
    else:
        write_whole(target, convert.vegalite_to_svg(spec, **options))
