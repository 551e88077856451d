"""From kernels as people write them (Triton, numba-cuda, CUDA C++, files) to PTX, without a GPU."""
