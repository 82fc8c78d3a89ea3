"""Joint classification of the color and regression of the quality of wines.

    python examples/joint_wine.py --data wine_quality.npz

Two networks receive the same eleven measurements of a wine. Task A classifies wines as
red or white, task B predicts the score of the tasters. The networks are trained with
`L_A + L_B - beta * I(A;B)` and compared, over several seeds, with beta = 0 and with
separate training. As a control, scores are permuted between wines. Writes
`saved_models/joint_wine.png`, which shows the joint distribution of the predictions.

The data are Wine Quality (Cortez et al., UCI, doi 10.24432/C56S3T; see
`kml.datasets.wine_quality`), from `--data`, from the folder in the environment variable
`KERAS_METALOSS_DATA`, or from the repository with `--download`. Otherwise, the 178
wines bundled with scikit-learn are used: cultivar and proline content.
"""

from __future__ import annotations

import argparse
import functools
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
from joint_comparison import Problem, compare, find_data

import keras_metaloss as kml


def load_data(given: str | None, download: bool):
    """Returns inputs, classes, values, groups of equal rows, and class names."""
    path = find_data(given, "wine_quality.npz")
    if path is not None or download:
        (x, y), _ = kml.datasets.wine_quality.load_data(path, test_split=0.0)
        groups = kml.datasets.wine_quality.duplicate_groups(x)
        print(f"{len(x)} wines from {path or 'the UCI repository'}")
        names = ["red", "white"]
        return x.astype("float32"), y["is_white"], y["quality"], groups, names
    from sklearn.datasets import load_wine

    print(
        "Neither --data nor --download is given. Using the 178 wines bundled with "
        "scikit-learn: cultivar (class) and proline content (value)."
    )
    wines = load_wine()
    x, values = wines.data[:, :-1], wines.data[:, -1] / 100
    groups = np.arange(len(x))
    names = [f"cultivar {i}" for i in range(3)]
    return x.astype("float32"), wines.target, values.astype("float32"), groups, names


def split(x, classes, values, groups, rows: int, seed: int):
    """Splits rows into training, validation and test sets that share no group."""
    order = np.random.default_rng(seed).permutation(np.unique(groups))
    rank = np.empty(order.max() + 1, int)
    rank[order] = np.arange(len(order))
    by_rank = np.argsort(rank[groups], kind="stable")
    rows = min(rows, len(x) // 3)
    parts = np.split(by_rank, [rows, 2 * rows])
    # Drop rows whose group is already in an earlier part.
    parts[1] = parts[1][~np.isin(groups[parts[1]], groups[parts[0]])]
    used = np.concatenate([groups[parts[0]], groups[parts[1]]])
    parts[2] = parts[2][~np.isin(groups[parts[2]], used)]
    mean, deviation = x[parts[0]].mean(axis=0), x[parts[0]].std(axis=0) + 1e-6
    x = (x - mean) / deviation
    return [(x[part], (classes[part], values[part])) for part in parts]


@keras.saving.register_keras_serializable(package="examples")
def normal(outputs: tf.Tensor) -> tfp.distributions.Distribution:
    """Returns the predicted distribution of the value."""
    return tfp.distributions.Normal(outputs[:, 0], 0.1 + tf.nn.softplus(outputs[:, 1]))


def problem(seed: int, data, rows: int) -> Problem:
    *columns, groups, names = data
    train, validation, test = split(*columns, groups, rows, seed)
    center = float(train[1][1].mean())

    def networks():
        return tuple(
            keras.Sequential(
                [
                    keras.Input((train[0].shape[1],)),
                    keras.layers.Dense(64, "relu"),
                    keras.layers.Dense(64, "relu"),
                    keras.layers.Dense(units, bias_initializer=bias),
                ]
            )
            for units, bias in (
                (len(names), "zeros"),
                (2, lambda shape, dtype=None: tf.constant([center, 0.5], dtype)),
            )
        )

    def score(outputs, targets):
        logits = outputs[0] - outputs[0].max(axis=1, keepdims=True)
        log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        return {
            "A accuracy": np.mean(logits.argmax(axis=1) == targets[0]),
            "A cross-entropy": -np.mean(log_p[np.arange(len(log_p)), targets[0]]),
            "B RMSE": np.sqrt(np.mean((outputs[1][:, 0] - targets[1]) ** 2)),
        }

    losses = (
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        kml.losses.NegativeLogLikelihood(normal),
    )
    return Problem(train, validation, test, networks, losses, None, score)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", help="the .npz file, or its folder")
    parser.add_argument(
        "--download", action="store_true", help="download the data from the repository"
    )
    parser.add_argument("--rows", type=int, default=400, help="training wines")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--fast", action="store_true", help="a short trial run")
    arguments = parser.parse_args()
    data = load_data(arguments.data, arguments.download)

    def picture(problem):
        return [
            kml.callbacks.JointDistributionPlot(
                "saved_models/joint_wine.png",
                problem.validation[0],
                class_names={"a": data[-1]},
            )
        ]

    compare(
        functools.partial(problem, data=data, rows=arguments.rows),
        seeds=1 if arguments.fast else arguments.seeds,
        epochs=2 if arguments.fast else arguments.epochs,
        betas=(0.0, 1.0) if arguments.fast else (0.0, 0.1, 0.3, 1.0),
        callbacks=picture,
    )
    print("\nsaved_models/joint_wine.png shows p(a, b) and I(A;B) for beta=1.")


if __name__ == "__main__":
    main()
