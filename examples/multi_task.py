"""Compares task weighting methods on three tasks of scikit-learn's digits.

    python examples/multi_task.py

The tasks are the digit, its parity, and the amount of ink (a regression whose loss is
in squared ink units and therefore hundreds of times as large as the other losses). Each
method trains the same small network from the same seeds. The table shows mean and
standard deviation over seeds on held-out images. The baselines are the unweighted sum
of the losses, the sum with manually chosen weights, and separate training of each task.

Writes `saved_models/multi_task.png`.
"""

from __future__ import annotations

import argparse
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import matplotlib
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import keras_metaloss as kml

matplotlib.use("Agg")
import matplotlib.pyplot as plt

weighting = kml.losses.weighting
MANUAL_WEIGHTS = {"digit": 1.0, "parity": 1.0, "ink": 0.001}
WEIGHTINGS = {
    "plain sum": weighting.FixedWeighting,
    "manual": lambda: weighting.FixedWeighting(MANUAL_WEIGHTS),
    "uncertainty": lambda: weighting.UncertaintyWeighting(["digit", "parity"]),
    "DWA": weighting.DynamicWeightAverage,
    "GradNorm": weighting.GradNorm,
    "geometric": weighting.GeometricLossStrategy,
    "IMTL": weighting.IMTL,
    "PCGrad": weighting.PCGrad,
    "MGDA (l2)": lambda: weighting.MGDA("l2"),
    "CAGrad": weighting.CAGrad,
    "random": weighting.RandomLossWeighting,
}
LOSSES = {
    "digit": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    "parity": keras.losses.BinaryCrossentropy(from_logits=True),
    "ink": keras.losses.MeanSquaredError(),
}
METRICS = {
    "digit": [keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
    "parity": [keras.metrics.BinaryAccuracy(name="accuracy", threshold=0.0)],
    "ink": [keras.metrics.RootMeanSquaredError(name="rmse")],
}
COLUMNS = {
    "digit_accuracy": "digit accuracy %",
    "parity_accuracy": "parity accuracy %",
    "ink_rmse": "ink error (RMS)",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--fast", action="store_true", help="run a few steps only")
    parser.add_argument("--out", default="saved_models/multi_task.png")
    arguments = parser.parse_args()
    epochs, seeds = arguments.epochs, arguments.seeds
    names = list(WEIGHTINGS)
    if arguments.fast:
        epochs, seeds, names = 1, 2, ["plain sum", "PCGrad"]

    train, test = data()
    results = {}
    header = "".join(f"{title:>22}" for title in COLUMNS.values())
    print(f"{'':<14}{header}   ({seeds} seeds, {epochs} epochs)")
    for name in [*names, "separate"]:
        rows = [run(name, train, test, epochs, seed) for seed in range(seeds)]
        results[name] = np.array([[row[key] for key in COLUMNS] for row in rows])
        print(f"{name:<14}" + "".join(map(cell, results[name].T)), flush=True)
    report(results)
    draw(results, pathlib.Path(arguments.out))
    print(f"\nFigure: {arguments.out}")


def data():
    """Loads the digits; half of the images are for training, half for testing."""
    digits = load_digits()
    x = (digits.data / 16.0).astype("float32")
    parts = train_test_split(
        x, digits.target, digits.data.sum(axis=1), test_size=0.5, random_state=0
    )
    x_train, x_test, digit_train, digit_test, ink_train, ink_test = parts
    mean = ink_train.mean()

    def labels(digit, ink):
        return {
            "digit": digit.astype("int32"),
            "parity": (digit % 2).astype("float32")[:, np.newaxis],
            "ink": (ink - mean).astype("float32")[:, np.newaxis],
        }

    return (x_train, labels(digit_train, ink_train)), (
        x_test,
        labels(digit_test, ink_test),
    )


def network(seed: int) -> keras.Model:
    """Builds two small shared layers and one linear head per task."""
    keras.utils.set_random_seed(seed)
    pixels = keras.Input((64,))
    hidden = keras.layers.Dense(32, "relu")(pixels)
    hidden = keras.layers.Dense(32, "relu")(hidden)
    heads = {"digit": 10, "parity": 1, "ink": 1}
    return keras.Model(
        pixels, {task: keras.layers.Dense(n)(hidden) for task, n in heads.items()}
    )


def run(name: str, train, test, epochs: int, seed: int) -> dict[str, float]:
    """Trains one model, or one per task; returns metrics on the test images."""
    if name != "separate":
        return fit(WEIGHTINGS[name](), train, test, epochs, seed)
    scores: dict[str, float] = {}
    for task in LOSSES:
        only = {other: float(other == task) for other in LOSSES}
        found = fit(weighting.FixedWeighting(only), train, test, epochs, seed)
        scores.update({k: v for k, v in found.items() if k.startswith(task)})
    return scores


def fit(method, train, test, epochs: int, seed: int) -> dict[str, float]:
    model = kml.MultiTaskModel(network(seed), method)
    model.compile(keras.optimizers.Adam(2e-3), LOSSES, metrics=METRICS)
    model.fit(*train, batch_size=32, epochs=epochs, verbose=0)
    scores = model.evaluate(*test, verbose=0, return_dict=True)
    for task in ("digit", "parity"):
        scores[f"{task}_accuracy"] *= 100
    return scores


def cell(values: np.ndarray) -> str:
    return f"{values.mean():>13.2f} +- {values.std(ddof=1):5.2f}"


def report(results: dict[str, np.ndarray]) -> None:
    """Prints the methods that are significantly better than manual weights."""
    baseline = results.get("manual", results["plain sum"])
    better = []
    for name, values in results.items():
        if name in ("manual", "plain sum", "separate"):
            continue
        gain = (values - baseline) * [1.0, 1.0, -1.0]  # paired by seed
        error = gain.std(axis=0, ddof=1) / np.sqrt(len(gain))
        if (gain.mean(axis=0) > 2 * error).all():
            better.append(name)
    against = "manual weights" if "manual" in results else "the plain sum"
    print(
        f"\nBetter than {against} on all three tasks by more than two standard errors:"
    )
    print("  " + (", ".join(better) or "none"))


def draw(results: dict[str, np.ndarray], path: pathlib.Path) -> None:
    """Draws one panel per task: mean and standard deviation of each method."""
    figure, axes = plt.subplots(1, 3, figsize=(13, 4.5), sharey=True)
    names, height = list(results), np.arange(len(results))
    for column, (axis, title) in enumerate(zip(axes, COLUMNS.values(), strict=True)):
        means = [results[name][:, column].mean() for name in names]
        spread = [results[name][:, column].std(ddof=1) for name in names]
        colors = [
            "0.5" if n in ("plain sum", "manual", "separate") else "C0" for n in names
        ]
        axis.barh(height, means, xerr=spread, color=colors, ecolor="0.2")
        low, high = min(means), max(means)
        if "accuracy" in title:
            axis.set_xlim(max(0.0, low - (high - low) - 1), min(100.0, high + 1))
        axis.set_xlabel(
            title
            + (", higher is better" if "accuracy" in title else ", lower is better")
        )
        axis.set_yticks(height, names)
    axes[0].invert_yaxis()
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
