"""Overhead of the mutual information term per training step.

    python benchmarks/joint_step.py

Times one step of `kml.JointModel` (a classifier and a regressor that predicts a normal
distribution) with XLA and batch size 256, compared to the same networks and losses in a
plain Keras model with two outputs. The target is a ratio of at most 1.25. The models
are timed in turn, so that other load on the machine affects them equally. The reported
ratio is the median of the ratios of consecutive measurements.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import keras_metaloss as kml

CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def normal(outputs: tf.Tensor) -> tfp.distributions.Distribution:
    scale = 0.05 + tf.nn.softplus(outputs[:, 1])
    return tfp.distributions.Normal(outputs[:, 0], scale)


LIKELIHOOD = kml.losses.NegativeLogLikelihood(normal)


def networks(features: int, width: int, classes: int) -> list[keras.Model]:
    """Builds a classifier and a regressor with three hidden layers each."""
    return [
        keras.Sequential(
            [keras.Input((features,))]
            + [keras.layers.Dense(width, "relu") for _ in range(3)]
            + [keras.layers.Dense(units)]
        )
        for units in (classes, 2)
    ]


def joint(*shape: int, **information: object) -> keras.Model:
    """Builds and compiles the joint model."""
    model = kml.JointModel(*networks(*shape))
    loss = kml.losses.MutualInformationLoss(CROSS_ENTROPY, LIKELIHOOD, **information)
    model.compile(optimizer="adam", loss=loss, jit_compile=True)
    return model


def plain(*shape: int) -> keras.Model:
    """Builds a plain Keras model with two outputs: the same networks and losses."""
    inputs = keras.Input(shape[:1])
    nets = networks(*shape)
    model = keras.Model(
        inputs, {name: net(inputs) for name, net in zip("ab", nets, strict=True)}
    )
    model.compile(
        optimizer="adam", loss={"a": CROSS_ENTROPY, "b": LIKELIHOOD}, jit_compile=True
    )
    return model


def steps(model: keras.Model, x: np.ndarray, y: dict, count: int) -> Callable:
    """Returns a function that runs `count` steps and returns the seconds per step."""
    data = tf.data.Dataset.from_tensors((x, y)).repeat(count)
    model.fit(data, verbose=0, shuffle=False)

    def run() -> float:
        iterator = iter(data)
        batches = [next(iterator) for _ in range(count)]
        started = time.perf_counter()
        for batch in batches:
            logs = model.train_function(iter([batch]))
        float(next(iter(logs.values())))
        return (time.perf_counter() - started) / count

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--steps", type=int, default=20, help="steps per round")
    parser.add_argument("--widths", type=int, nargs="+", default=[128, 512])
    parser.add_argument("--fast", action="store_true", help="a short trial run")
    arguments = parser.parse_args()
    rounds, count = (2, 2) if arguments.fast else (arguments.rounds, arguments.steps)
    rng = np.random.default_rng(0)
    features, classes = 64, 5
    x = rng.normal(size=(arguments.batch, features)).astype("float32")
    y = {
        "a": rng.integers(0, classes, arguments.batch),
        "b": x[:, 0] + 0.1 * rng.normal(size=arguments.batch).astype("float32"),
    }
    print(f"batch {arguments.batch}, XLA, median milliseconds per step, median ratio")
    for width in arguments.widths:
        shape = (features, width, classes)
        rivals = {
            "plain Keras model, two outputs": plain(*shape),
            "information term": joint(*shape),
            "information term, 512 points": joint(
                *shape, estimator={"num_points": 512}
            ),
        }
        runs = {name: steps(model, x, y, count) for name, model in rivals.items()}
        seconds = {name: [] for name in runs}
        for _ in range(rounds):
            for name, run in runs.items():
                seconds[name].append(run())
        base = np.array(seconds["plain Keras model, two outputs"])
        print(f"two networks with three layers of {width} units")
        for name, values in seconds.items():
            ratio = np.median(np.array(values) / base)
            print(f"  {name:<34}{1e3 * np.median(values):8.2f}{ratio:8.2f}")


if __name__ == "__main__":
    main()
