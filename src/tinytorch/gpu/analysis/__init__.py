"""A kernel analysed, line by line: what it asks of memory, how full its warps are, what limits it."""
