"""`tito bench`: the ladder of every operation, and a real network on real images."""
