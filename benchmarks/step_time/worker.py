"""Worker process for one library: runs one step per input line."""

from __future__ import annotations

import json
import resource
import sys
import time

from methods import METHODS
from solvers import SOLVERS


def main() -> None:
    name, inner_steps = sys.argv[1], int(sys.argv[2])
    started = time.perf_counter()
    step = {**SOLVERS, **METHODS}[name](inner_steps)
    loss = step()
    say(first_seconds=time.perf_counter() - started, loss=loss)
    for _ in sys.stdin:
        started = time.perf_counter()
        step()
        seconds = time.perf_counter() - started
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        say(seconds=seconds, peak_mib=memory)


def say(**values: float) -> None:
    print(json.dumps(values), flush=True)


if __name__ == "__main__":
    main()
