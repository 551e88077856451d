"""What a call must do, whoever does it: what its time is held against."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """Operations (a multiply-add is two), and the bytes that cannot but be read and written."""

    operations: int
    read: int
    written: int

    @property
    def bytes(self) -> int:
        """Bytes that move, in both directions.

        >>> Cost(operations=2, read=16, written=8).bytes
        24
        """
        return self.read + self.written
