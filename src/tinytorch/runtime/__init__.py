"""What every operation leans on: arrays in and out, the thread pool, compilation and its cache."""
