"""The checks, a file for each step: what an answer must do, and what to say of each plausible mistake."""
