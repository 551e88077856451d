"""Numbers as people read them: three digits, a prefix and a unit."""

_PREFIXES = {-4: "p", -3: "n", -2: "µ", -1: "m", 0: "", 1: "k", 2: "M", 3: "G", 4: "T", 5: "P"}


def quantity(value: float, unit: str) -> str:
    """Write a number from 0 up with three digits, a prefix and its unit.

    >>> quantity(2.5e9, "FLOP/s"), quantity(999.96e-6, "s"), quantity(42, "B/s")
    ('2.5 GFLOP/s', '1 ms', '42 B/s')
    """
    if value == 0:
        return f"0 {unit}"
    value = float(f"{value:.3g}")  # rounded before the prefix is chosen: 999.96 is 1000
    power = 0
    while value >= 1000 * 1000.0**power and power < max(_PREFIXES):
        power += 1
    while value < 1000.0**power and power > min(_PREFIXES):
        power -= 1
    return f"{digits(value / 1000.0**power)} {_PREFIXES[power]}{unit}".rstrip()


def digits(value: float) -> str:
    """Write a number with three digits, in full where a reader would.

    >>> digits(0.12345), digits(4207.3), digits(31.0)
    ('0.123', '4,210', '31')
    """
    if 1000 <= value < 1e6:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:.3g}"


def size(value: int) -> str:
    """Write bytes with a binary prefix.

    >>> size(32768), size(1 << 20), size(1536), size(100)
    ('32 KiB', '1 MiB', '1.5 KiB', '100 B')
    """
    for shift, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if value >= 1 << shift:
            return f"{digits(value / (1 << shift))} {unit}"
    return f"{value} B"


def share(value: float) -> str:
    """Write a share in percent; of small ones more digits.

    >>> share(0.913), share(0.0012)
    ('91%', '0.12%')
    """
    return f"{value:.0%}" if value >= 0.0995 or value == 0 else f"{100 * value:.2g}%"
