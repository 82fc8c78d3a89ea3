"""Sinusoid regression of the MAML paper; its table 2 beside our numbers.

    python benchmarks/sinusoid.py

Training: 10 support and 10 query points a task, 25 tasks a batch, one inner step of
rate 0.01, Adam, two hidden layers of 40 (arXiv 1703.03400, section 5.1). Test: 5
support points, 100 query points, 1,000 tasks, after 1, 5 and 10 steps of rate 0.01.
"""

from __future__ import annotations

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras

import keras_metaloss as kml

PUBLISHED = {1: 0.67, 5: 0.38, 10: 0.35}
STEPS_PER_EPOCH = 5_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=70_000, help="outer updates")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    keras.utils.set_random_seed(arguments.seed)
    model = kml.MetaModel(
        kml.learners.mlp((1,), 1), kml.adaptation.MAML(steps=1, learning_rate=0.01)
    )
    rate = keras.optimizers.schedules.CosineDecay(1e-3, arguments.steps)
    model.compile(
        optimizer=keras.optimizers.Adam(rate),
        loss="mse",
        jit_compile=True,
        steps_per_execution=100,
    )
    tasks = kml.tasks.sinusoid(shots=10, queries=10, seed=arguments.seed)
    started = time.perf_counter()
    model.fit(
        tasks.dataset(25),
        steps_per_epoch=STEPS_PER_EPOCH,
        epochs=max(1, arguments.steps // STEPS_PER_EPOCH),
        verbose=2,
    )
    minutes = (time.perf_counter() - started) / 60
    print(f"\n{arguments.steps} outer updates in {minutes:.1f} minutes")
    print(f"{'steps':>5} {'mean squared error':>22} {'MAML paper':>11}")
    for steps, published in PUBLISHED.items():
        error, interval = evaluate(model.learner, steps)
        print(f"{steps:>5} {error:>14.3f} +- {interval:.3f} {published:>11.2f}")


def evaluate(learner: keras.Model, steps: int) -> tuple[float, float]:
    """Mean squared error over test tasks after `steps`, and its 95 % interval."""
    model = kml.MetaModel(learner, kml.adaptation.MAML(steps, learning_rate=0.01))
    model.compile(loss="mse", metrics=["mse"])
    tasks = kml.tasks.sinusoid(shots=5, queries=100, seed=1_000_003)
    results = model.evaluate(tasks.dataset(50, batches=20), verbose=0, return_dict=True)
    return results["mse"], results["mse_ci95"]


if __name__ == "__main__":
    main()
