"""What a GPU's own counters say of small kernels, recorded: `python -m benchmarks.gpu.record`."""
