"""What bounds a callable on this machine, how near it is to that, and what would help."""
