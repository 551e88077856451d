"""Which clock a learner's function reads, told by its text: no measurement shows that a clock may jump."""

from tinytorch.course.subject import Subject, WrongError

_TIME_OF_DAY = ("time.time", "time.time_ns")


def no_time_of_day(learner: Subject, name: str) -> None:
    """Refuse clocks that tell the time of day: time.time, datetime.now and their kind."""
    for used in sorted(learner.uses(name)):
        if used in _TIME_OF_DAY or (used.startswith("datetime.") and used.endswith((".now", ".utcnow"))):
            raise WrongError(
                f"{used}() tells the time of day, which the system corrects: it may jump, even backwards",
                "time.perf_counter() only ever goes forwards, in finer steps.",
            )
