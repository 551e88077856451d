# says: split\(0, 4\) raised ZeroDivisionError

def split(n, workers):
    p = min(n, workers)
    size = n // p
    rest = n % p
    out, s = [], 0
    for w in range(p):
        e = s + size + (w < rest)
        out.append((s, e))
        s = e
    return out
