from math import comb


def verdict(first, second):
    wins = sum(a < b for a, b in zip(first, second))
    losses = sum(a > b for a, b in zip(first, second))
    n = wins + losses
    tail = sum(comb(n, k) for k in range(max(wins, losses), n + 1)) / 2**n
    if not n or 2 * tail > 0.01:
        return "no difference"
    return "first" if wins > losses else "second"
