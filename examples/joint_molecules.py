"""Is a molecule active, and how strongly: a class and a number, learnt together.

    python examples/joint_molecules.py --data fsmol_subset.npz

For each of several assays two networks see the fingerprints of its molecules. One tells
active from inactive ones, the other the measured value (standardised within the assay),
which only a third of the training molecules have: the others are missing, as where a
screen was not followed up. They are trained with `L_A + L_B - beta * I(A;B)`, and
compared with beta = 0 and with each network alone; with values exchanged between
molecules as a control. What is called a seed in the tables is an assay.

The data: a part of FS-Mol (Stanley and others, NeurIPS 2021, CC BY-SA 3.0) as an `.npz`
file with `task_offset`, `task_fold`, `active_log_corr`, `fingerprint`, `active` and
`log_value`, by `--data`, or in the folder named by `KERAS_METALOSS_DATA`. Without it,
scikit-learn's 569 tumours: malignant or benign, and the size of the largest cells.
"""

from __future__ import annotations

import argparse
import functools
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from joint_comparison import Problem, compare, find_data


def load_data(given: str | None, count: int):
    """A list of `(x, classes, values)`, one a data set."""
    path = find_data(given, "fsmol_subset.npz")
    if path is None:
        from sklearn.datasets import load_breast_cancer

        print(
            "No --data given: running on the 569 tumours that come with scikit-learn, "
            "benign or not (class) and the logarithm of the worst area (number)."
        )
        data = load_breast_cancer()
        x = data.data[:, :20]  # without the columns that the number is one of
        x = (x - x.mean(axis=0)) / x.std(axis=0)
        values = np.log(data.data[:, list(data.feature_names).index("worst area")])
        values = (values - values.mean()) / values.std()
        row = (x.astype("float32"), data.target, values.astype("float32"))
        return [row] * count
    with np.load(path) as data:
        offsets, correlation = data["task_offset"], data["active_log_corr"]
        sizes = np.diff(offsets)
        # Assays where the written value says how active a molecule is.
        good = (data["task_fold"] == "test") & (np.abs(correlation) > 0.5)
        largest = np.argsort(np.where(good, -sizes, 0), kind="stable")[:count]
        bits, active, log_value = (
            data["fingerprint"],
            data["active"],
            data["log_value"],
        )
        tasks = []
        for task in largest:
            rows = slice(offsets[task], offsets[task + 1])
            values = log_value[rows]
            values = (values - np.nanmean(values)) / np.nanstd(values)
            x = np.unpackbits(bits[rows], axis=1).astype("float32")
            tasks.append((x, active[rows].astype("int32"), values))
    print(f"{len(tasks)} assays of {sizes[largest].tolist()} molecules from {path}")
    return tasks


def problem(seed: int, tasks, rows: int, share: float) -> Problem:
    x, classes, values = tasks[seed]
    random = np.random.default_rng(seed)
    rows = min(rows, len(x) // 3)
    parts = np.split(random.permutation(len(x)), [rows, 2 * rows])
    train, validation, test = ((x[p], (classes[p], values[p].copy())) for p in parts)
    train[1][1][random.random(rows) > share] = np.nan

    def networks():
        return tuple(
            keras.Sequential(
                [
                    keras.Input((x.shape[1],)),
                    keras.layers.Dense(64, "relu"),
                    keras.layers.Dropout(0.3),
                    keras.layers.Dense(units),
                ]
            )
            for units in (2, 1)
        )

    def score(outputs, targets):
        logits = outputs[0][:, 1] - outputs[0][:, 0]
        known = ~np.isnan(targets[1])
        error = outputs[1][known, 0] - targets[1][known]
        sign = np.where(targets[0] > 0, 1, -1)
        return {
            "A accuracy": np.mean((logits > 0) == (targets[0] > 0)),
            "A cross-entropy": np.mean(np.logaddexp(0, -sign * logits)),
            "B RMSE": np.sqrt(np.mean(error**2)),
        }

    losses = (keras.losses.SparseCategoricalCrossentropy(from_logits=True), "mse")
    return Problem(train, validation, test, networks, losses, None, score)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", help="the .npz file, or the folder with it")
    parser.add_argument("--rows", type=int, default=300, help="molecules to train on")
    parser.add_argument(
        "--share", type=float, default=0.33, help="part of them with a measured value"
    )
    parser.add_argument("--assays", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--fast", action="store_true", help="a short run, to try it")
    arguments = parser.parse_args()
    count = 1 if arguments.fast else arguments.assays
    tasks = load_data(arguments.data, count)
    compare(
        functools.partial(
            problem, tasks=tasks, rows=arguments.rows, share=arguments.share
        ),
        seeds=len(tasks),
        epochs=2 if arguments.fast else arguments.epochs,
        betas=(0.0, 1.0) if arguments.fast else (0.0, 0.1, 0.3, 1.0),
    )


if __name__ == "__main__":
    main()
