"""What a comparison gave, kept with all that is needed to look at it again: samples, machine, versions."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from typing import Any

from tinytorch.measure.measurement import Measurement
from tinytorch.measure.verdict import Verdict, paired, unpaired
from tinytorch.runtime import units
from tinytorch.runtime.files import UNREADABLE, write_whole

#: Of the JSON file; changes when a reader of it would have to.
SCHEMA = 1
_KIND = "tinytorch comparison"


class Comparison(Mapping[str, Measurement]):
    """The measurements of functions that were timed against each other, by name, in the order given."""

    def __init__(
        self, measurements: Mapping[str, Measurement], circumstances: Mapping[str, Any] | None = None
    ) -> None:
        self._measurements = dict(measurements)
        #: When, the clock, options, and the machine once it was saved: plain values.
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self.circumstances: dict[str, Any] = {"time": now, **(circumstances or {})}

    def __getitem__(self, name: str) -> Measurement:
        """Return the measurement of one function; KeyError for one that was not timed."""
        if name not in self._measurements:
            raise KeyError(f"no function {name!r} was timed; those that were: {', '.join(self)}")
        return self._measurements[name]

    def __iter__(self) -> Iterator[str]:
        """Yield the names."""
        return iter(self._measurements)

    def __len__(self) -> int:
        """Return how many functions were timed."""
        return len(self._measurements)

    def verdict(self, name: str, against: str) -> Verdict:
        """Say whether `name` is faster than `against`; KeyError for one that was not timed."""
        return paired(name, self[name].samples, against, self[against].samples)

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """Return the verdict for each pair, the later name against the earlier."""
        return tuple(self.verdict(later, earlier) for earlier, later in combinations(self, 2))

    def against(self, earlier: "Comparison") -> tuple[Verdict, ...]:
        """Judge each function against the one of the same name in another comparison.

        Raises ValueError if there is none.
        """
        common = [name for name in self if name in earlier]
        if not common:
            raise ValueError(
                f"no function of {', '.join(self)} is in the other comparison: {', '.join(earlier)}"
            )
        return tuple(
            unpaired(name, self[name].samples, f"{name} then", earlier[name].samples) for name in common
        )

    def __str__(self) -> str:
        """Return a table of the times and the verdicts."""
        width = max(map(len, self), default=0)
        lines = [
            f"{name:{width}}  {units.quantity(m.median, 's'):>9}  +- {m.iqr / 2 / m.median:.0%}, "
            + f"{len(m.samples)} samples"
            + "".join(f"; {reason}" for reason in m.unstable)
            for name, m in self.items()
        ]
        return "\n".join([*lines, *map(str, self.verdicts)])

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {
            "kind": _KIND,
            "schema": SCHEMA,
            "machine": self.circumstances.get("machine") or _machine(),
            **self.circumstances,
            "measurements": [measurement.as_dict() for measurement in self.values()],
            "verdicts": [verdict.as_dict() for verdict in self.verdicts],
        }

    def save(self, path: str | Path) -> None:
        """Write everything as JSON; OSError if that cannot be."""
        write_whole(Path(path), json.dumps(self.as_dict(), indent=1) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> "Comparison":
        """Read what `save` wrote.

        Raises ValueError if the file is none of that, OSError if it cannot be read.
        """
        try:
            content = json.loads(Path(path).read_text())
            if content["kind"] != _KIND or content["schema"] != SCHEMA:
                raise ValueError(f"kind {content['kind']!r}, schema {content['schema']!r}")
            measurements = {
                str(one["name"]): Measurement.from_dict(str(one["name"]), one)
                for one in content["measurements"]
            }
        except UNREADABLE as error:
            raise ValueError(
                f"{path} is no comparison of schema {SCHEMA} as `save` writes it: {error}"
            ) from None
        known = {"kind", "schema", "measurements", "verdicts"}
        return cls(measurements, {key: value for key, value in content.items() if key not in known})


def _machine() -> dict[str, Any]:
    from tinytorch.machine.info import describe
    from tinytorch.runtime.threads import get_num_threads

    return {**describe().as_dict(), "threads": get_num_threads()}
