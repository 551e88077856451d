"""Vector code from Python: what this CPU can do, vector values, and the kernels made of them."""
