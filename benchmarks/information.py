"""Time of KSG (k = 3, variant 1) compared to other packages on the same data.

python benchmarks/information.py --peers PYTHON

PYTHON is the interpreter of an environment with `benchmark-mi`, `npeet-plus` and
scikit-learn, which require other versions of NumPy and JAX than this package. Without
`--peers`, only scikit-learn is measured, in the current environment. Each round runs
both interpreters in turn. The first round is a warm-up; the fastest of the other rounds
is reported.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

CASES = {"1+1": 1, "3+3": 3, "5+5": 5}
RHO = 0.5


def ours(x: np.ndarray, y: np.ndarray) -> float:
    import keras_metaloss as kml

    return float(kml.information.mutual_information_ksg(x, y))


def scikit_learn(x: np.ndarray, y: np.ndarray) -> float:
    from sklearn.feature_selection._mutual_info import _compute_mi_cc

    return _compute_mi_cc(x[:, 0], y[:, 0], 3)


def npeet(x: np.ndarray, y: np.ndarray) -> float:
    from npeet_plus import mi

    return float(mi(x, y, k=3, base=math.e))


def benchmark_mi(x: np.ndarray, y: np.ndarray) -> float:
    from bmi.estimators import KSGEnsembleFirstEstimator

    estimator = KSGEnsembleFirstEstimator(
        neighborhoods=(3,), standardize=False, metric_x="chebyshev"
    )
    return float(estimator.estimate(x, y))


PEERS = {"scikit-learn": scikit_learn, "NPEET": npeet, "benchmark-mi": benchmark_mi}


def measure(name: str, x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Measures one call; returns its seconds and its value."""
    function = {"ours": ours, **PEERS}[name]
    started = time.perf_counter()
    value = function(x, y)
    return time.perf_counter() - started, value


def serve(folder: str) -> None:
    """Reads requests `[name, case]` and writes answers, one JSON line each."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # The output of packages must not be mixed with the answers.
    for line in sys.stdin:
        name, case = json.loads(line)
        with np.load(Path(folder) / f"{case}.npz") as data:
            x, y = data["x"], data["y"]
        try:
            answer = list(measure(name, x, y))
        except ImportError as error:
            answer = [str(error)]
        print(json.dumps(answer), file=answers, flush=True)


class Peer:
    """Interpreter process that measures on request."""

    def __init__(self, python: str, folder: str) -> None:
        command = [python, __file__, "--serve", folder]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def measure(self, name: str, case: str) -> list:
        print(json.dumps([name, case]), file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve)
        return
    with tempfile.TemporaryDirectory() as folder:
        for case, dimensions in CASES.items():
            rng = np.random.default_rng(dimensions)
            shape = (arguments.samples, dimensions)
            x = rng.normal(size=shape)
            y = RHO * x + math.sqrt(1 - RHO**2) * rng.normal(size=shape)
            np.savez(Path(folder) / f"{case}.npz", x=x, y=y)
        here, there = Peer(sys.executable, folder), Peer(arguments.peers, folder)
        print(f"{'data':<6}{'package':<14}{'seconds':>9}{'time/ours':>12}{'nats':>9}")
        for case in CASES:
            report(case, here, there, arguments.rounds)
        here.close()
        there.close()


def report(case: str, here: Peer, there: Peer, rounds: int) -> None:
    names = [name for name in PEERS if case == "1+1" or name != "scikit-learn"]
    peers = {"ours": here, **dict.fromkeys(names, there)}
    best: dict[str, list] = {}
    for turn in range(rounds + 1):
        for name, peer in peers.items():
            answer = peer.measure(name, case)
            if len(answer) == 1:
                best[name] = answer
            elif turn and (name not in best or answer[0] < best[name][0]):
                best[name] = answer
    for name, answer in best.items():
        if len(answer) == 1:
            print(f"{case:<6}{name:<14}  not measured: {answer[0]}")
            continue
        ratio = answer[0] / best["ours"][0]
        print(f"{case:<6}{name:<14}{answer[0]:>9.3f}{ratio:>12.2f}{answer[1]:>9.4f}")


if __name__ == "__main__":
    main()
