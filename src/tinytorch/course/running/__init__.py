"""A learner's code in a process that is not trusted, and the `Subject` of the checks that asks it."""
