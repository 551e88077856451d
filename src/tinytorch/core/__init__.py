"""What a learner imports: a tensor, layers, networks, and the kernels under their course names."""
