"""What compressing a model did: a line for each layer, in bytes, time and error, and why some were left."""

import math
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class LayerReport:
    """One layer: measured on this machine, at the numbers of rows that were seen."""

    name: str
    shape: tuple[int, int]
    kept_as: str  # what it was tried as
    applied: bool
    reason: str  # why it was left as it was; "" if it was not
    bytes_before: int
    bytes_after: int
    rows: tuple[int, ...]  # of the inputs that were timed
    seconds_before: float  # the sum of them, each as often as it was seen
    seconds_after: float
    error: float  # of its own result: root mean square, relative to the root mean square of the result
    model_error: float | None = None  # the same of the model's result, where that was asked for

    @property
    def speedup(self) -> float:
        """Time before by time after."""
        return self.seconds_before / self.seconds_after if self.seconds_after else math.nan


@dataclass
class Report:
    """What became of a model; `print` shows it as a table."""

    model: Any
    layers: list[LayerReport]
    title: str
    #: Of the model's result, all layers together, on the examples that were given.
    error: float | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def applied(self) -> list[str]:
        """The names of the layers that were changed."""
        return [layer.name for layer in self.layers if layer.applied]

    @property
    def left(self) -> dict[str, str]:
        """The layers that were left as they were, and why."""
        return {layer.name: layer.reason for layer in self.layers if not layer.applied}

    @property
    def bytes_before(self) -> int:
        """Bytes of all weights before."""
        return sum(layer.bytes_before for layer in self.layers)

    @property
    def bytes_after(self) -> int:
        """Bytes of all weights after, those that were left among them."""
        return sum(layer.bytes_after if layer.applied else layer.bytes_before for layer in self.layers)

    @property
    def speedup(self) -> float:
        """Time of all layers before by time after, those that were left among them."""
        after = sum(layer.seconds_after if layer.applied else layer.seconds_before for layer in self.layers)
        return sum(layer.seconds_before for layer in self.layers) / after if after else math.nan

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {
            "title": self.title,
            "error": self.error,
            "bytes_before": self.bytes_before,
            "bytes_after": self.bytes_after,
            "speedup": _or_none(self.speedup),
            "notes": self.notes,
            "layers": [{**vars(layer), "speedup": _or_none(layer.speedup)} for layer in self.layers],
        }

    def __str__(self) -> str:
        """Show a line for each layer, and what it comes to."""
        from io import StringIO

        from rich.console import Console
        from rich.table import Table

        table = Table(title=self.title, title_justify="left")
        for name in ("layer", "shape", "rows", "tried as", "bytes", "time", "x faster", "error", "done"):
            table.add_column(name, justify="left" if name in ("layer", "tried as", "done") else "right")
        asked = any(layer.model_error is not None for layer in self.layers)
        if asked:
            table.add_column("model's error", justify="right")
        for layer in self.layers:
            cells = [
                layer.name or "(itself)",
                " x ".join(map(str, layer.shape)),
                ", ".join(map(str, layer.rows)),
                layer.kept_as,
                f"{_size(layer.bytes_before)} -> {_size(layer.bytes_after)}",
                f"{_time(layer.seconds_before)} -> {_time(layer.seconds_after)}" if layer.rows else "",
                f"{layer.speedup:.2f}" if layer.rows else "",
                f"{layer.error:.2%}" if layer.rows else "",
                "yes" if layer.applied else layer.reason if asked else f"left: {layer.reason}",
            ]
            if asked:
                cells.append("" if layer.model_error is None else f"{layer.model_error:.2%}")
            table.add_row(*cells)
        text = StringIO()
        console = Console(file=text, width=150, color_system=None)
        console.print(table)
        if self.layers and not asked:
            console.print(self._total(), highlight=False)
        if not self.layers:
            console.print("There is no dense layer to change in it.", highlight=False)
        for note in self.notes:
            console.print(note, highlight=False)
        return text.getvalue().rstrip()

    def _total(self) -> str:
        total = (
            f"{len(self.applied)} of {len(self.layers)} layers changed; weights {_size(self.bytes_before)} "
            f"-> {_size(self.bytes_after)}"
        )
        if not math.isnan(self.speedup):
            total += f", these layers {self.speedup:.2f} x as fast"
        if self.error is not None:
            total += f", the model's result {self.error:.2%} off"
        return f"{total}."


def _time(seconds: float) -> str:
    return f"{seconds * 1e6:.0f} us" if seconds < 1e-3 else f"{seconds * 1e3:.2f} ms"


def _size(count: int) -> str:
    if count < 10_000:
        return f"{count} B"
    return f"{count / 1e3:.0f} KB" if count < 10_000_000 else f"{count / 1e6:.1f} MB"


def _or_none(number: float) -> float | None:
    """Return a number as JSON has it: NaN is none."""
    return None if math.isnan(number) else number
