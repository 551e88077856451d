"""Races in shared memory: two warps at one place, one of them writing, and no barrier between.

Each warp has a clock that barriers advance, and knows of each other warp up to which time it has waited for
it (a vector clock; Lamport 1978, and FastTrack, Flanagan and Freund 2009). Beside each place stand its last
writer and its last two readers with their time. What the accessing warp does not know of is a race. Accesses
of lanes of one warp are in order here, and two that write the same value do no harm. Atomics, volatile and
ordered accesses (strong ones, in PTX's word) race with plain ones alone. In a kernel with fences a warp that
comes with one to a place knows what those knew that came there before. Of more than two readers that did not
read at once one may go unseen; what is reported is always a race.
"""

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

#: A stamp: who, whether by a strong access, and when. 0 is nobody.
_TIME_BITS = 40
_STRONG = 1 << _TIME_BITS - 1
_TIME = _STRONG - 1
#: Word of strong accesses is left below all other places: those of mbarriers, and of barriers from -1 down.
_STRONG_WORDS = -(1 << 40)


class Races:
    """The clocks of a batch's warps, and who was last at each place."""

    def __init__(self, blocks: int, per_block: int, places: int, grain: int, fences: bool = False) -> None:
        self._per_block = per_block
        self._fences = fences  # whether the kernel has one
        self.active = per_block > 1  # one warp alone has nobody to race with
        #: Bytes of a place: the narrowest access of the kernel, so that neighbours are not taken for one.
        self.shift = grain.bit_length() - 1
        self._known = np.zeros((blocks * per_block, per_block), np.int64)
        self._time = np.ones(blocks * per_block, np.int64)
        self._writer = np.zeros(places, np.int64)
        self._readers = np.zeros((2, places), np.int64)
        self._changers: Array | None = None  # two, as of readers, once there is an atomic
        self._posted: dict[int, Array] = {}
        self.start()

    def start(self) -> None:
        """Begin anew, as before a first access."""
        self._posted.clear()
        self._known[...] = 0
        self._time[...] = 1
        self._writer[...] = self._readers[...] = 0
        self._changers = None

    def meet(self, rows: Array) -> None:
        """Let the warps of one block wait for each other: what they did so far is behind all of them."""
        ranks = rows % self._per_block
        known = self._known[rows].max(axis=0)
        known[ranks] = np.maximum(known[ranks], self._time[rows])
        self._known[rows] = known
        self._time[rows] += 1

    def meet_all(self, blocks: int) -> None:
        """Let the warps of each of the first blocks wait for those of their own block."""
        n = blocks * self._per_block
        times = self._time[:n].reshape(blocks, self._per_block)
        known = np.maximum(self._known[:n].reshape(blocks, self._per_block, -1).max(axis=1), times)
        self._known[:n] = np.repeat(known, self._per_block, axis=0)
        self._time[:n] += 1

    def read(self, warps: Array, places: Array, width: int, active: Array, strong: bool = False) -> Array:
        """Note a read by lanes of warps, (n, m); returns those that race with a write or an atomic.

        `places` are in units of `width` bytes; those of other lanes are at the memory's sink.
        """
        writer, index = self._of(self._writer, places, width)
        racing = self._unknown(writer[index], warps, strong)
        if strong:
            self._order(warps, places * width, active, posts=False)
        else:
            racing |= self._changed(warps, places, width)
        self._remember(self._readers, warps, places, width, _STRONG if strong else 0)
        return racing & active

    def write(
        self, warps: Array, places: Array, width: int, active: Array, strong: bool = False
    ) -> tuple[Array, Array, Array]:
        """Note a write by lanes of warps, (n, m); `places` are in units of `width` bytes.

        Returns the lanes that race with a read or an atomic, those that race with an earlier write, and those
        that race with another warp's write at the same instruction. The last two do no harm if they write the
        same.
        """
        writer, index = self._of(self._writer, places, width)
        others = np.zeros(active.shape, bool) if strong else self._changed(warps, places, width)
        for readers in self._readers:
            others |= self._unknown(self._of(readers, places, width)[0][index], warps, strong)
        writes = self._unknown(writer[index], warps, strong)
        mine = self._stamps(warps)[..., None] | (_STRONG if strong else 0)
        writer[index] = mine
        if strong:
            together = np.zeros(active.shape, bool)
            self._order(warps, places * width, active, hears=False)
        else:
            together = np.asarray((writer[index] != mine).any(axis=-1))
        return others & active, writes & active, together & active

    def change(self, warps: Array, places: Array, width: int, active: Array) -> Array:
        """Note an atomic by lanes of warps, (n, 32); returns those that race with a plain read or write."""
        if self._changers is None:
            self._changers = np.zeros_like(self._readers)
        racing = np.zeros(active.shape, bool)
        for stamps in (self._writer, *self._readers):
            rows, index = self._of(stamps, places, width)
            racing |= self._unknown(rows[index], warps, strong=True)
        self._remember(self._changers, warps, places, width)
        self._order(warps, places * width, active)
        return racing & active

    def _order(
        self, warps: Array, offsets: Array, active: Array, hears: bool = True, posts: bool = True
    ) -> None:
        """Let warps that come to places with strong accesses know what was left there, and leave word."""
        if not self._fences:
            return
        for row, there, lanes in zip(warps.tolist(), offsets, active, strict=True):
            for place in np.unique(there[lanes]).tolist():
                word = _STRONG_WORDS - place
                if hears:
                    self.hear(word, row)
                if posts:
                    self.post(word, row)

    def _changed(self, warps: Array, places: Array, width: int) -> Array:
        """Say which accesses, (n, m), come after an atomic that these warps do not know of."""
        racing = np.zeros(places.shape, bool)
        for stamps in () if self._changers is None else self._changers:
            rows, index = self._of(stamps, places, width)
            racing |= self._unknown(rows[index], warps)
        return racing

    def _remember(self, stamps: Array, warps: Array, places: Array, width: int, strong: int = 0) -> None:
        """Stamp places as one does that two may be at: `stamps` are the last, and another."""
        latest, index = self._of(stamps[0], places, width)
        other = self._of(stamps[1], places, width)[0]
        last, mine = latest[index], self._stamps(warps)[..., None] | strong
        if not self._recent(last, warps):
            # All know of that one: the first and the last of those that come at once are remembered.
            other[index[::-1].copy()] = mine[::-1].copy()  # NumPy goes through a view its own way
            latest[index] = mine
            return
        other[index] = np.where(last >> _TIME_BITS != mine >> _TIME_BITS, last, other[index])
        latest[index] = mine
        before = (latest[index] != mine).any(axis=-1)
        if before.any():
            rows, lanes = np.nonzero(before)
            other[index[rows, lanes]] = mine[rows, 0]

    def _of(self, stamps: Array, places: Array, width: int) -> tuple[Array, Array]:
        """Return stamps in rows of what an access of a width takes, and the rows of these places."""
        per = width >> self.shift
        if per:
            return stamps[: len(stamps) // per * per].reshape(-1, per), places
        return stamps[:, None], places * width >> self.shift  # of a box whose elements are narrower

    def _unknown(self, stamps: Array, warps: Array, strong: bool = False) -> Array:
        """Say which accesses, (n, m, k) stamps, have one of another warp that these do not know of.

        To a strong access only plain ones matter.
        """
        if strong:
            stamps = np.where(stamps & _STRONG, 0, stamps)
        if not self._recent(stamps, warps):
            return np.zeros(stamps.shape[:-1], bool)
        known, time = self._known[warps], stamps & _TIME
        who, rank = stamps >> _TIME_BITS, (warps % self._per_block)[:, None, None]
        unknown = (who != rank) & (time > known[np.arange(len(warps))[:, None, None], who])
        return np.asarray(unknown.any(axis=-1))

    def _recent(self, stamps: Array, warps: Array) -> bool:
        """Say whether a warp may not know of one of these; as a rule all are behind a barrier."""
        return bool((stamps & _TIME).max(initial=0) > self._known[warps].min(initial=1 << _TIME_BITS))

    def _stamps(self, warps: Array) -> Array:
        stamps: Array = (warps % self._per_block << _TIME_BITS | self._time[warps])[:, None]
        return stamps

    def post(self, place: int, row: int) -> None:
        """Let a warp leave word at a place of what it knows: whoever hears of it there knows as much."""
        known = self._known[row].copy()
        known[row % self._per_block] = self._time[row]
        before = self._posted.get(place)
        self._posted[place] = known if before is None else np.maximum(before, known)
        self._time[row] += 1

    def hear(self, place: int, row: int) -> None:
        """Let a warp know what was left at a place."""
        word = self._posted.get(place)
        if word is not None:
            self._known[row] = np.maximum(self._known[row], word)

    def forget(self, places: Array) -> None:
        """Take away what was left at places."""
        for place in places:
            self._posted.pop(int(place), None)
