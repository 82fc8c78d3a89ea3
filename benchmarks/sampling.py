"""Time to sample a batch of episodes compared to the time of a training step.

python benchmarks/sampling.py
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np

import keras_metaloss as kml


def main() -> None:
    random = np.random.default_rng(0)
    images = random.random((1_200 * 20, 28, 28, 1), dtype=np.float32)
    labels = np.repeat(np.arange(1_200), 20)
    episodes = kml.tasks.EpisodeSampler(
        images, labels, ways=5, shots=1, queries=15, rotation_classes=True
    )
    classifier = kml.MetaModel(
        kml.learners.conv4((28, 28, 1), 5), kml.adaptation.MAML(1, 0.4)
    )
    classifier.compile(
        "adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    regressor = kml.MetaModel(kml.learners.mlp((1,), 1), kml.adaptation.MAML(1, 0.01))
    regressor.compile("adam", "mse")
    print(f"{'tasks':<34}{'draw ms':>9}{'step ms':>9}{'times faster':>14}")
    waves = kml.tasks.sinusoid(10, 10)
    report("32 x 5-way 1-shot, 15 queries", episodes, 32, classifier, 10)
    report("25 x sinusoid, 10 shots", waves, 25, regressor, 300)


def report(
    name: str,
    tasks: kml.tasks.EpisodeSampler | kml.tasks.FunctionTasks,
    tasks_per_batch: int,
    model: kml.MetaModel,
    steps: int,
) -> None:
    """Prints the median times of drawing a batch and of `train_on_batch`."""
    batch = tasks.batch(0, tasks_per_batch)
    draw = median(lambda: tasks.batch(1, tasks_per_batch), steps)
    step = median(lambda: model.train_on_batch(*batch), steps)
    print(f"{name:<34}{1e3 * draw:>9.2f}{1e3 * step:>9.1f}{step / draw:>14.0f}")


def median(function: Callable[[], object], times: int) -> float:
    function()
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
