"""Errors that are told to a user in one line."""


class WrongResultError(AssertionError):
    """A function computed something else than it should; it is not timed."""


class InputError(ValueError):
    """What a user gave cannot be used; the message says what would do."""
