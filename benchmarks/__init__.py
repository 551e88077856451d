"""Our kernels against the libraries that people use instead: `python -m benchmarks`."""
