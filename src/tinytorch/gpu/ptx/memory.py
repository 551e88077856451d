"""Memory of the emulated GPU: bytes, and beside each a byte that says whether it may be read.

All lanes of all warps go to memory at once. What is out of bounds, misaligned or was never written is found
for each of them; such a lane is sent to a few bytes at the end that belong to nobody, where it does no harm.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinytorch.runtime.errors import InputError

Array = np.ndarray[Any, Any]

#: What the byte beside a byte says.
OUTSIDE, UNWRITTEN, WRITTEN = 0, 1, 2
#: The widest access, in bytes.
WIDEST = 32
_WRITTEN_WORD = {size: np.frombuffer(bytes([WRITTEN] * size), f"u{size}")[0] for size in (1, 2, 4, 8)}


class MemoryLimitError(InputError):
    """A launch needs more memory than the emulator may take."""


@dataclass(frozen=True)
class Trouble:
    """What is wrong with an access: of each kind the lanes, (n, 32) bool, or None where there are none."""

    misaligned: Array | None = None
    outside: Array | None = None
    unwritten: Array | None = None


class Memory:
    """A run of bytes with what is known of each. Offsets are from its start."""

    def __init__(self, size: int) -> None:
        size = -(-size // WIDEST) * WIDEST
        #: Where lanes go that must not go anywhere.
        self.sink = size
        self.data = np.zeros(size + WIDEST, np.uint8)
        self.state = np.zeros(size + WIDEST, np.uint8)
        self.state[size:] = WRITTEN
        self._views: dict[tuple[str, int], tuple[Array, Array]] = {}

    def allow(self, offset: int, size: int, state: int = UNWRITTEN) -> None:
        """Let `size` bytes from `offset` be used."""
        self.state[offset : offset + size] = state

    def put(self, offset: int, content: Array) -> None:
        """Write bytes, and let them be used."""
        self.data[offset : offset + content.size] = content
        self.state[offset : offset + content.size] = WRITTEN

    def views(self, dtype: str, parts: int) -> tuple[Array, Array]:
        """Return data and states as rows of `parts` elements of a dtype."""
        key = (dtype, parts)
        if key not in self._views:
            size = int(dtype[1:]) * parts
            word = min(size, 8)
            data = self.data[: len(self.data) // size * size].view(dtype)
            state = self.state[: len(self.state) // size * size].view(f"u{word}")
            if parts > 1:
                data = data.reshape(-1, parts)
            if size > word:
                state = state.reshape(-1, size // word)
            self._views[key] = data, state
        return self._views[key]

    def place(
        self, offsets: Array, active: Array | None, dtype: str, parts: int, read: bool
    ) -> tuple[Array, Trouble | None]:
        """Return the row of each lane's access, and what is wrong, if anything is.

        `offsets` is (n, 32) int64; `active` the lanes that take part, None for all.
        """
        width = int(dtype[1:]) * parts
        safe = offsets if active is None else np.where(active, offsets, self.sink)
        if not safe.size:
            return safe, None
        shift = width.bit_length() - 1
        fine = safe.min() >= 0 and safe.max() <= self.sink
        if fine and not (int(np.bitwise_or.reduce(safe, axis=None)) & (width - 1)):
            rows = safe >> shift
            state = self.views(dtype, parts)[1][rows]
            if read:
                if (state == _WRITTEN_WORD[min(width, 8)]).all():
                    return rows, None
            elif state.view(np.uint8).all():
                return rows, None
        return self._troubled(safe, width, shift, read)

    def _troubled(self, safe: Array, width: int, shift: int, read: bool) -> tuple[Array, Trouble]:
        outside = (safe < 0) | (safe > self.sink + WIDEST - width)
        misaligned = (safe & (width - 1) != 0) & ~outside
        bytes_of = np.where(outside | misaligned, self.sink, safe)[..., None] + np.arange(width)
        state = self.state[bytes_of]
        outside |= (state == OUTSIDE).any(axis=-1) & ~misaligned
        unwritten = (state == UNWRITTEN).any(axis=-1) & ~outside & ~misaligned
        rows = np.where(outside | misaligned, self.sink, safe) >> shift

        def some(lanes: Array) -> Array | None:
            return lanes if lanes.any() else None

        return rows, Trouble(some(misaligned), some(outside), some(unwritten) if read else None)

    def load(self, rows: Array, dtype: str, parts: int) -> Array:
        """Return what lies at rows: (n, 32), or (n, 32, parts) for more than one part."""
        loaded: Array = self.views(dtype, parts)[0][rows]
        return loaded

    def store(self, rows: Array, values: Array, dtype: str, parts: int) -> None:
        """Write at rows; of lanes that write to one place the last wins, as a GPU may do it."""
        data, state = self.views(dtype, parts)
        data[rows] = values
        state[rows] = _WRITTEN_WORD[min(int(dtype[1:]) * parts, 8)]

    def update(
        self, rows: Array, active: Array, dtype: str, change: Callable[[Array, Array], Array]
    ) -> Array:
        """Change places one lane after the other; returns what each lane found, (n, 32).

        `change(found, lanes)` gets what lies there and which lanes (flat indices) it is for. Lanes that share
        a place take turns, in order of warp and lane; all that do not go at once.
        """
        data = self.views(dtype, 1)[0]
        flat, lanes = rows.ravel(), np.flatnonzero(active.ravel())
        before = np.zeros(rows.size, dtype)
        places = flat[lanes]
        order = np.argsort(places, kind="stable")
        places, lanes = places[order], lanes[order]
        first = np.flatnonzero(np.concatenate(([True], places[1:] != places[:-1]))) if len(places) else places
        turn = np.arange(len(places)) - np.repeat(first, np.diff(np.append(first, len(places))))
        for number in range(int(turn.max()) + 1 if len(turn) else 0):
            now = turn == number
            found = data[places[now]]
            before[lanes[now]] = found
            data[places[now]] = change(found, lanes[now])
        state = self.views(dtype, 1)[1]
        state[places] = _WRITTEN_WORD[int(dtype[1:])]
        return before.reshape(rows.shape)
