"""Time of each loss and its gradient compared to the closest Keras loss.

    python benchmarks/losses.py [--repeats 15]

The two losses of a row are timed in turn in the same run, and medians are compared.
Targets: at most 1.2 times the time of Keras in graph mode, at most 1.0 times with XLA.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf

import keras_metaloss as kml

MARKS = {False: 1.2, True: 1.0}
LOGITS = {"from_logits": True}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=15)
    arguments = parser.parse_args()
    print(f"TensorFlow {tf.__version__}, {os.cpu_count()} cores, medians in ms\n")
    print(f"{'loss, shape':<55}{'mode':>6}{'ours':>9}{'Keras':>9}{'ratio':>7}")
    for name, ours, theirs, y_true, y_pred in rows():
        for jit_compile in (False, True):
            steps = [step(f, y_true, y_pred, jit_compile) for f in (ours, theirs)]
            own, other = medians(steps, arguments.repeats)
            mode = "XLA" if jit_compile else "graph"
            missed = "  misses the target" if own > MARKS[jit_compile] * other else ""
            figures = f"{own:>9.1f}{other:>9.1f}{own / other:>7.2f}"
            print(f"{name:<55}{mode:>6}{figures}{missed}", flush=True)


def rows():
    """Yields name, our loss, the closest Keras loss, targets and predictions."""
    random = np.random.default_rng(0)
    for shape in ((4096, 1000), (16, 128, 128, 21)):
        logits = tf.constant(random.normal(size=shape), tf.float32)
        labels = tf.constant(random.integers(0, shape[-1], shape[:-1]), tf.int32)
        hot = tf.one_hot(labels, shape[-1])
        yes = tf.constant(random.integers(0, 2, shape), tf.float32)
        targets = tf.constant(random.normal(size=shape), tf.float32)
        size = "x".join(map(str, shape))
        yield (
            f"SparseCategoricalFocalLoss {size}",
            kml.losses.SparseCategoricalFocalLoss(**LOGITS),
            keras.losses.SparseCategoricalCrossentropy(**LOGITS),
            *(labels, logits),
        )
        yield (
            f'SparseCategoricalFocalLoss("learned") {size}',
            kml.losses.SparseCategoricalFocalLoss("learned", **LOGITS),
            keras.losses.SparseCategoricalCrossentropy(**LOGITS),
            *(labels, logits),
        )
        yield (
            f"CategoricalFocalLoss {size}",
            kml.losses.CategoricalFocalLoss(**LOGITS),
            keras.losses.CategoricalFocalCrossentropy(**LOGITS),
            *(hot, logits),
        )
        yield (
            f"BinaryFocalLoss {size}",
            kml.losses.BinaryFocalLoss(**LOGITS),
            keras.losses.BinaryFocalCrossentropy(**LOGITS),
            *(yes, logits),
        )
        yield (
            f"AdaLoss(cross-entropy) {size}",
            kml.losses.AdaLoss(keras.losses.SparseCategoricalCrossentropy(**LOGITS)),
            keras.losses.SparseCategoricalCrossentropy(**LOGITS),
            *(labels, logits),
        )
        yield (
            f"AdaptiveRobustLoss {size}",
            kml.losses.AdaptiveRobustLoss(),
            keras.losses.LogCosh(),
            *(targets, logits),
        )
        yield (
            f"AdaptiveRobustLoss(learned=False) {size}",
            kml.losses.AdaptiveRobustLoss(learned=False),
            keras.losses.LogCosh(),
            *(targets, logits),
        )
    embeddings = tf.constant(random.normal(size=(256, 64)), tf.float32)
    labels = tf.constant(random.integers(0, 32, 256), tf.int32)
    for name, loss in {
        "ContrastiveLoss": kml.losses.ContrastiveLoss(),
        'TripletLoss("hard")': kml.losses.TripletLoss(mining="hard"),
        'TripletLoss("semi-hard")': kml.losses.TripletLoss(),
        "NPairLoss": kml.losses.NPairLoss(),
        "MultiSimilarityLoss": kml.losses.MultiSimilarityLoss(),
    }.items():
        yield (
            f"{name} 256x64",
            loss,
            keras.losses.Circle(),
            *(labels, embeddings),
        )


def step(
    loss: keras.losses.Loss, y_true: tf.Tensor, y_pred: tf.Tensor, jit_compile: bool
) -> Callable[[], object]:
    """Returns a function that computes the loss and its gradients."""
    parameters = [v.value for v in getattr(loss, "trainable_variables", ())]

    @tf.function(jit_compile=jit_compile)
    def run(y_true, y_pred):
        with tf.GradientTape() as tape:
            tape.watch(y_pred)
            value = loss(y_true, y_pred)
        return value, tape.gradient(value, [y_pred, *parameters])

    return lambda: float(run(y_true, y_pred)[0])


def medians(steps: list[Callable], repeats: int) -> list[float]:
    """Measures the steps in turn; returns the median milliseconds of each."""
    for run in steps:
        run(), run()
    seconds = [[] for _ in steps]
    for _ in range(repeats):
        for run, times in zip(steps, seconds, strict=True):
            started = time.perf_counter()
            run()
            times.append(time.perf_counter() - started)
    return [1e3 * statistics.median(times) for times in seconds]


if __name__ == "__main__":
    main()
