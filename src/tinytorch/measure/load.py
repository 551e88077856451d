"""How busy others kept this machine while something was measured."""

import time

import psutil

#: CPUs that others may use on average before a reader is told of it.
BUSY = 0.15


class Load:
    """Counts from when it is made: CPU time of the whole machine, and of this process with its children."""

    def __init__(self) -> None:
        self._begin = _now()

    def of_others(self) -> float:
        """Return how many CPUs others used on average, time stolen by other virtual machines included.

        >>> Load().of_others() >= 0
        True
        """
        wall, machine, own = (end - begin for end, begin in zip(_now(), self._begin, strict=True))
        return max(0.0, (machine - own) / wall) if wall > 0 else 0.0


def _now() -> tuple[float, float, float]:
    """Return the time, the CPU time that was not idle, and the CPU time of this process."""
    times, own = psutil.cpu_times(), psutil.Process().cpu_times()
    idle = times.idle + getattr(times, "iowait", 0.0)
    # On Linux time of guests is in user's already.
    guests = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
    busy = sum(times) - idle - guests
    return time.monotonic(), busy, own.user + own.system + own.children_user + own.children_system
