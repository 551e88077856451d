"""A learner's earlier best, kept in their workspace: how each kernel stood to NumPy's in the same run.

Machines drift by a tenth and learners change them: the ratio to NumPy's time in the same run is what is kept
and compared, under the machine's fingerprint and its number of threads; the time is kept to be read.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tinytorch.bench.ladder import Step
from tinytorch.machine.info import describe, fingerprint
from tinytorch.measure.measurement import Measurement
from tinytorch.runtime.files import UNREADABLE, write_whole
from tinytorch.runtime.threads import get_num_threads

FILE = ".tinytorch-best.json"
#: Of the file; changes when a reader of it would have to.
SCHEMA = 1


@dataclass(frozen=True)
class Best:
    """The best that one kernel did at one shape."""

    against_numpy: float  # times as fast as NumPy's in the same run
    seconds: float
    time: str


class Earlier:
    """The bests of a workspace on one machine."""

    def __init__(self, path: Path, machine: str) -> None:
        """Read what is kept at `path`; a file that cannot be understood is set aside, and `problem` tells."""
        self._path, self._machine = path, machine
        self.problem = ""
        self._all: dict[str, dict[str, dict[str, Best]]] = {}
        try:
            self._all = _read(json.loads(path.read_text("utf-8")))
        except FileNotFoundError:
            pass  # the first time
        except UNREADABLE as error:
            aside = _free(path)
            path.rename(aside)
            self.problem = (
                f"{path.name} could not be understood ({' '.join(str(error).split())}): it is now "
                f"{aside.name}, and bests begin anew"
            )

    def here(self) -> Mapping[str, Mapping[str, Best]]:
        """Return every best on this machine, by the names of ladder and rung."""
        return self._all.get(self._machine, {})

    def best(self, ladder: str, rung: str) -> Best | None:
        """Return the best of a rung of a ladder, by their names, or None."""
        return self._here(ladder).get(rung)

    def take(self, ladder: str, rung: str, step: Step, numpy: Step) -> bool:
        """Take in what was measured if it is better than ever, and stable; says whether."""
        known = self.best(ladder, rung)
        if known is not None and step.against_numpy <= known.against_numpy:
            return False
        if not stable(step.measurement.samples, numpy.measurement.samples):
            return False
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._here(ladder)[rung] = Best(step.against_numpy, step.measurement.median, now)
        return True

    def write(self) -> str | None:
        """Write the file, whole; returns why that cannot be, or None."""
        machines = {
            machine: {
                ladder: {rung: asdict(best) for rung, best in rungs.items()}
                for ladder, rungs in found.items()
            }
            for machine, found in self._all.items()
        }
        try:
            write_whole(self._path, json.dumps({"schema": SCHEMA, "machines": machines}, indent=1) + "\n")
        except OSError as error:
            return f"{self._path} cannot be written: {error.strerror or error}"
        return None

    def _here(self, ladder: str) -> dict[str, Best]:
        return self._all.setdefault(self._machine, {}).setdefault(ladder, {})


def of_workspace(folder: Path) -> Earlier:
    """Return the bests that a workspace keeps, on this machine and with this number of threads."""
    return Earlier(folder / FILE, f"{fingerprint(describe())}-{get_num_threads()}")


def stable(samples: Sequence[float], others: Sequence[float]) -> bool:
    """Say whether ratios within rounds agree as well as is asked of times: what disturbs both is no matter.

    >>> stable([1.0, 2.0, 4.0, 2.0, 1.0], [0.5, 1.0, 2.0, 1.0, 0.5])
    True
    """
    ratios = tuple(own / other for own, other in zip(samples, others, strict=False))  # slow ones have fewer
    return Measurement("ratio", ratios, calls=1).stable


def _read(content: Any) -> dict[str, dict[str, dict[str, Best]]]:
    if content["schema"] != SCHEMA:
        raise ValueError(f"schema {content['schema']!r}")
    return {
        machine: {
            ladder: {rung: _best(best) for rung, best in rungs.items()} for ladder, rungs in ladders.items()
        }
        for machine, ladders in content["machines"].items()
    }


def _best(content: Mapping[str, Any]) -> Best:
    ratio, seconds = float(content["against_numpy"]), float(content["seconds"])
    if not (0 < ratio < float("inf") and 0 < seconds < float("inf")):
        raise ValueError(f"{ratio} and {seconds} where numbers above zero belong")
    return Best(ratio, seconds, str(content["time"]))


def _free(path: Path) -> Path:
    """Return a name beside a file that nothing has yet."""
    number, aside = 1, path.with_name(f"{path.name}.broken")
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.broken-{number}")
    return aside
