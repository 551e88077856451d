"""Which few of many to look at, so that what repeats itself among the many does not go unseen."""

import math

#: The fractional parts of its multiples lie nowhere dense and nowhere alike (Weyl).
_GOLDEN = (math.sqrt(5) - 1) / 2


def spread(count: int, whole: int) -> list[int]:
    """Return so many of the numbers below `whole`: the first and the last, and one of each part between.

    They lie there by the golden ratio, and odd and even ones in turn: at equal distances they could all meet
    the same place of a pattern, and agree. All are returned if `whole` is not more than `count`.

    >>> spread(5, 100), spread(9, 4)
    ([0, 21, 40, 95, 99], [0, 1, 2, 3])
    """
    if whole <= count:
        return list(range(whole))
    if count <= 2:
        return [0, whole - 1][:count]
    chosen, parts = [0], count - 2
    for part in range(parts):
        first, end = (1 + one * (whole - 2) // parts for one in (part, part + 1))
        place = first + int((end - first) * ((part + 1) * _GOLDEN % 1))
        if place % 2 == part % 2 and end - first > 1:
            place += 1 if place + 1 < end else -1
        chosen.append(place)
    return [*chosen, whole - 1]
