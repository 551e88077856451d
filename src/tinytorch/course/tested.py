"""What `tito test` found of a learner's notebook, kept beside it, and which of it still holds.

An outcome holds as long as the cells are unchanged that its function stands in and leans on.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import get_args

from tinytorch.course.exercises import exercises
from tinytorch.course.names import of_cell
from tinytorch.course.outcome import Outcome, State
from tinytorch.runtime.files import UNREADABLE, write_whole

#: Its name in a workspace.
FILE = ".tinytorch-tested.json"


@dataclass(frozen=True)
class Tested:
    """An exercise's last outcome, when that was, and the digest of the cells it was found of."""

    state: str
    points: int
    when: str
    digest: str
    message: str = ""


def digests(sources: Sequence[str]) -> dict[str, str]:
    """Return for each exercise a digest of the exported cells that its function stands in and leans on.

    >>> before, after = (digests([f"def g(): return {n}", "def split(): return g()"]) for n in (1, 2))
    >>> before["split"] == after["split"], before["chase"] == after["chase"]
    (False, True)
    """
    cells = [of_cell(source) for source in sources]
    found = {}
    for name in exercises():
        needed, waiting = set[int](), {name}
        while waiting:
            wanted = waiting.pop()
            for place, (bound, used) in enumerate(cells):
                if wanted in bound and place not in needed:
                    needed.add(place)
                    waiting |= used
        text = json.dumps([sources[place] for place in sorted(needed)])
        found[name] = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return found


def kept(folder: Path) -> dict[str, Tested]:
    """Return what was found last in a workspace, by exercise; what cannot be read was not found."""
    try:
        content = json.loads((folder / FILE).read_text("utf-8"))
        found = {name: Tested(**content[name]) for name in exercises() if name in content}
    except (OSError, *UNREADABLE):
        return {}
    points = {name: exercise.points for name, exercise in exercises().items()}
    return {
        name: one
        for name, one in found.items()
        if one.state in get_args(State) and one.points == (points[name] if one.state == "passed" else 0)
    }


def keep(folder: Path, outcomes: Iterable[Outcome], digest_of: Mapping[str, str]) -> None:
    """Keep outcomes with the digests of what they were found of; others that were kept stay."""
    now = datetime.now().astimezone().isoformat(timespec="seconds")
    found = kept(folder)
    for one in outcomes:
        found[one.exercise] = Tested(one.state, one.points, now, digest_of[one.exercise], one.message)
    content = {name: vars(one) for name, one in found.items()}
    write_whole(folder / FILE, json.dumps(content, indent=1) + "\n")
