# says: misses it in 40 of 40
def verdict(first, second):
    return "no difference"
