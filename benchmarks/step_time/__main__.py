"""Time of an outer MAML step compared to other libraries in the same run.

    pip install '.[bench]'
    python benchmarks/step_time                        # all libraries, one inner step
    python benchmarks/step_time --inner-steps 1 2 5 10 20 --picture steps.png
    python benchmarks/step_time --libraries maml fomaml anil prototypical supervised
    python benchmarks/step_time --libraries reptile implicit_maml --inner-steps 2 20

The names in the last two commands are methods of this library; `supervised` is a plain
Keras training step on the same number of images.

Libraries run one step each in turn, so that other load on the machine affects them
equally. The table shows median times, the ratio to the fastest other library (for
methods: to the first one), peak memory of the process, and the time of the first step,
including import, tracing and compilation.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import statistics
import subprocess
import sys

from methods import METHODS

LIBRARIES = ("keras_metaloss", "torchopt", "torch_loop", "torch_func", "jax")
NAMES = (*LIBRARIES, *METHODS)
WORKER = pathlib.Path(__file__).parent / "worker.py"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--libraries", nargs="+", default=LIBRARIES, choices=NAMES)
    parser.add_argument("--inner-steps", nargs="+", type=int, default=[1])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--picture", help="write a PNG plot of seconds over inner steps"
    )
    arguments = parser.parse_args()
    medians = {}
    for inner_steps in arguments.inner_steps:
        results = measure(arguments.libraries, inner_steps, arguments.rounds)
        report(inner_steps, results)
        for name, result in results.items():
            medians.setdefault(name, []).append(result["median"])
    if arguments.picture:
        draw(arguments.inner_steps, medians, arguments.picture)


def measure(libraries: list[str], inner_steps: int, rounds: int) -> dict[str, dict]:
    """Measures median time, peak memory and time of the first step per library."""
    workers = {}
    results = {}
    for name in libraries:
        # Start workers one after another, so that none compiles while another is timed.
        workers[name] = start(name, inner_steps)
        results[name] = {**read(workers[name]), "seconds": []}
    for round_number in range(rounds + 1):
        for name, worker in workers.items():
            worker.stdin.write("step\n")
            worker.stdin.flush()
            answer = read(worker)
            results[name]["peak_mib"] = answer["peak_mib"]
            if round_number:
                results[name]["seconds"].append(answer["seconds"])
    for name, worker in workers.items():
        worker.communicate()
        results[name]["median"] = statistics.median(results[name]["seconds"])
    return results


def start(name: str, inner_steps: int) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, WORKER, name, str(inner_steps)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def read(worker: subprocess.Popen) -> dict:
    line = worker.stdout.readline()
    if not line:
        raise SystemExit(
            f"{worker.args[2]} failed; to see the error, run "
            f"{' '.join(map(str, worker.args))}"
        )
    return json.loads(line)


def report(inner_steps: int, results: dict[str, dict]) -> None:
    others = [
        r["median"]
        for n, r in results.items()
        if n in LIBRARIES and n != "keras_metaloss"
    ]
    fastest = min(others) if others else next(iter(results.values()))["median"]
    print(f"\n{inner_steps} inner step{'s' if inner_steps > 1 else ''}")
    print(
        f"{'library':<16}{'seconds':>9}{'ratio':>8}{'peak MiB':>10}{'first s':>9}"
        f"{'loss':>9}"
    )
    for name, result in results.items():
        print(
            f"{name:<16}{result['median']:>9.3f}{result['median'] / fastest:>8.2f}"
            f"{result['peak_mib']:>10.0f}{result['first_seconds']:>9.1f}"
            f"{result['loss']:>9.4f}",
            flush=True,
        )


def draw(inner_steps: list[int], medians: dict[str, list[float]], path: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(6, 4))
    for name, seconds in medians.items():
        axis.plot(inner_steps, seconds, "o-", label=name)
    axis.set_xlabel("inner steps")
    axis.set_ylabel("seconds per outer step")
    axis.set_ylim(bottom=0)
    axis.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
