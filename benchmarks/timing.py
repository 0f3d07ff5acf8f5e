"""Seconds of a call, as a median over calls."""

import statistics
import time
from collections.abc import Callable


def median_seconds(call: Callable[[], object], seconds: float, least: int = 3) -> float:
    """The median time of `call()` over about `seconds` seconds, and at least `least` calls."""
    times: list[float] = []
    while len(times) < least or sum(times) < seconds:
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)
