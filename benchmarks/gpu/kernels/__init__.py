"""The micro-kernels: CUDA C++ by what they try, and Triton."""
