"""Joint classification and regression of the activity of molecules.

    python examples/joint_molecules.py --download

For each of several assays, two networks receive the fingerprints of its molecules. Task
A classifies molecules as active or inactive. Task B predicts the measured value
(standardized within the assay), which is available for only a third of the training
molecules, as in a screen without follow-up measurements. The networks are trained with
`L_A + L_B - beta * I(A;B)` and compared with beta = 0 and with separate training. As a
control, values are permuted between molecules. Each "seed" in the tables is an assay.

The data are six assays of FS-Mol (Stanley et al., NeurIPS 2021, CC BY-SA 3.0), from
`--data` (see `kml.datasets.fsmol.load_data`), from the folder in the environment
variable `KERAS_METALOSS_DATA`, or from `--download`. Otherwise, the 569 tumors bundled
with scikit-learn are used: malignant or benign, and the size of the largest cells.
"""

from __future__ import annotations

import argparse
import functools
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
from joint_comparison import Problem, compare, find_data

import keras_metaloss as kml


def load_data(given: str | None, count: int, download: bool = False):
    """Returns a list of `(x, classes, values)`, one per assay."""
    path = given or find_data(None, "fsmol_subset.npz")
    if path is None and not download:
        return [tumors()] * count
    names = kml.datasets.fsmol.ASSAYS["test"][:count]
    *_, (x, y) = kml.datasets.fsmol.load_data(path, assays={"test": names})
    fingerprint = x["fingerprint"].astype("float32")
    assays = [x["assay"] == index for index in range(len(names))]
    sizes = [int(rows.sum()) for rows in assays]
    place = path or "the authors' repository"
    print(f"{len(assays)} assays with {sizes} molecules from {place}")
    return [
        (fingerprint[rows], y["active"][rows], standardized(y["log_value"][rows]))
        for rows in assays
    ]


def tumors():
    from sklearn.datasets import load_breast_cancer

    print(
        "Neither --data nor --download is given. Using the 569 tumors bundled with "
        "scikit-learn: benign or not (class) and the logarithm of the worst area "
        "(value)."
    )
    data = load_breast_cancer()
    x = data.data[:, :20]  # without the "worst" columns, which contain the target
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    values = np.log(data.data[:, list(data.feature_names).index("worst area")])
    return x.astype("float32"), data.target, standardized(values).astype("float32")


def standardized(values: np.ndarray) -> np.ndarray:
    return (values - np.nanmean(values)) / np.nanstd(values)


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
    parser.add_argument("--data", help="an .npz file, or the folder of the assays")
    parser.add_argument(
        "--download", action="store_true", help="download the data from the authors"
    )
    parser.add_argument("--rows", type=int, default=300, help="training molecules")
    parser.add_argument(
        "--share",
        type=float,
        default=0.33,
        help="fraction of training molecules with a measured value",
    )
    parser.add_argument("--assays", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--fast", action="store_true", help="a short trial run")
    arguments = parser.parse_args()
    count = 1 if arguments.fast else arguments.assays
    tasks = load_data(arguments.data, count, arguments.download)
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
