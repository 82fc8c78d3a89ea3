"""Robust losses on wine quality, with and without corrupted training targets.

    python examples/outliers_regression.py --data wine_quality.npz

Predicts the score of wines from their chemistry and color
(`kml.datasets.wine_quality`), with the data from `--data` or from the folder in the
environment variable `KERAS_METALOSS_DATA`. Otherwise, predicts the progression of
diabetes in the dataset bundled with scikit-learn. The settings of each loss are
chosen on a validation set, whose targets are corrupted too, by the median absolute
error, which is robust to outliers. Prints the mean absolute error on clean test
targets, in standard deviations of the target: mean and standard deviation over seeds.
Writes `saved_models/outliers_regression.png`.
"""

from __future__ import annotations

import argparse
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import matplotlib
import numpy as np
from joint_comparison import find_data
from sklearn.datasets import load_diabetes

import keras_metaloss as kml

matplotlib.use("Agg")
import matplotlib.pyplot as plt

PLAIN = ("MSE", "MAE", "Huber")


def settings() -> dict[str, list]:
    """Returns the candidate losses of each family, from which tuning selects."""
    return {
        "MSE": [keras.losses.MeanSquaredError],
        "MAE": [keras.losses.MeanAbsoluteError],
        "Huber": [
            lambda delta=delta: keras.losses.Huber(delta) for delta in (0.1, 0.3, 1.0)
        ],
        "adaptive robust": [
            lambda scale=scale: kml.losses.AdaptiveRobustLoss(scale=scale)
            for scale in (0.3, 1.0)
        ],
        "AdaLoss (easy)": [
            lambda alpha=alpha: kml.losses.AdaLoss("mse", alpha=alpha, direction="easy")
            for alpha in ("norm", "standardized")
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", help="the .npz file, or its folder")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--fast", action="store_true", help="a short trial run")
    parser.add_argument("--out", default="saved_models/outliers_regression.png")
    arguments = parser.parse_args()
    seeds, epochs = (1, 1) if arguments.fast else (arguments.seeds, arguments.epochs)

    name, x, y, group = load(find_data(arguments.data, "wine_quality.npz"))
    print(f"{name}: {len(x)} rows, {x.shape[1]} features")
    errors, last = {}, {}
    for share in (0.0, 0.1):
        errors[share] = {loss: [] for loss in settings()}
        for seed in range(seeds):
            split = parts(x, y, group, share, seed)
            for loss, members in settings().items():
                members = members[:1] if arguments.fast else members
                tried = [run(member, split, seed, epochs) for member in members]
                best = min(tried, key=lambda result: result["validation"])
                errors[share][loss].append(best["test"])
                last[loss] = best
        report(errors[share], share)
    shape, scale = last["adaptive robust"]["parameters"]
    print(f"Learned with outliers: alpha={shape:.2f}, scale={scale:.2f}")
    draw(errors, last, pathlib.Path(arguments.out))
    print(f"Picture: {arguments.out}")


def load(
    path: pathlib.Path | None,
) -> tuple[str, np.ndarray, np.ndarray, np.ndarray]:
    """Returns name, features, targets and groups of duplicate rows."""
    if path is None:
        x, y = load_diabetes(return_X_y=True)
        return "diabetes", x, y, np.arange(len(x))
    (x, y), _ = kml.datasets.wine_quality.load_data(path, test_split=0.0)
    group = kml.datasets.wine_quality.duplicate_groups(x)
    x = np.concatenate([x, y["is_white"][:, np.newaxis]], axis=1)
    return "wine quality", x, y["quality"], group


def parts(
    x: np.ndarray, y: np.ndarray, group: np.ndarray, share: float, seed: int
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Splits into 1/2 training, 1/4 validation and 1/4 test data, standardized."""
    random = np.random.default_rng(seed)
    groups = random.permutation(np.unique(group))
    quarter = len(groups) // 4
    rows = {
        "test": np.isin(group, groups[:quarter]),
        "validation": np.isin(group, groups[quarter : 2 * quarter]),
        "train": np.isin(group, groups[2 * quarter :]),
    }
    train = rows["train"]
    x = (x - x[train].mean(axis=0)) / x[train].std(axis=0)
    y = (y - y[train].mean()) / y[train].std()
    # Corrupted targets are too large by about ten standard deviations.
    wrong = (random.random(len(y)) < share) & ~rows["test"]
    y = y + wrong * random.normal(10.0, 3.0, len(y))
    return {
        name: (x[part].astype("float32"), y[part, np.newaxis].astype("float32"))
        for name, part in rows.items()
    }


def run(make_loss, split: dict[str, tuple], seed: int, epochs: int) -> dict:
    """Trains a network; returns its errors on validation and test sets."""
    keras.utils.set_random_seed(seed)
    x, y = split["train"]
    network = keras.Sequential(
        [
            keras.Input((x.shape[1],)),
            keras.layers.Dense(32, "relu"),
            keras.layers.Dense(1),
        ]
    )
    model = kml.AdaptiveLossModel(network)
    model.compile(optimizer=keras.optimizers.Adam(3e-3), loss=make_loss())
    model.fit(x, y, batch_size=32, epochs=epochs, verbose=0)
    residuals = {
        part: split[part][1] - model.predict(split[part][0], verbose=0)
        for part in ("validation", "test")
    }
    result = {
        "validation": np.median(np.abs(residuals["validation"])),
        "test": np.abs(residuals["test"]).mean(),
        "residuals": residuals["test"][:, 0],
    }
    if isinstance(model.loss, kml.losses.AdaptiveRobustLoss):
        result["parameters"] = model.loss.alpha, model.loss.scale
    return result


def report(errors: dict[str, list], share: float) -> None:
    """Prints means, standard deviations and a comparison."""
    print(f"\nMean absolute error, {100 * share:.0f} % of training targets corrupted:")
    for name, values in errors.items():
        spread = np.std(values, ddof=1) if len(values) > 1 else 0.0
        print(f"  {name:<20}{np.mean(values):.3f} +- {spread:.3f}")
    print(verdict(errors))


def verdict(errors: dict[str, list]) -> str:
    """Compares the best robust loss with the best standard loss, paired by seed."""
    plain, ours = (
        min(names, key=lambda name: np.mean(errors[name]))
        for names in (PLAIN, set(errors) - set(PLAIN))
    )
    gain = np.subtract(errors[plain], errors[ours])
    text = f"  {plain}, the best standard loss, minus {ours}: {gain.mean():+.3f}"
    if len(gain) < 2:
        return f"{text}; one seed gives no standard error."
    error = 2 * gain.std(ddof=1) / len(gain) ** 0.5
    if abs(gain.mean()) <= error:
        return f"{text}, within two standard errors ({error:.3f})."
    winner = ours if gain.mean() > 0 else plain
    return f"{text}; {winner} wins by more than two standard errors ({error:.3f})."


def draw(errors: dict, last: dict[str, dict], path: pathlib.Path) -> None:
    """Draws errors with and without outliers, and histograms of residuals."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(13, 4.5))
    names = list(errors[0.0])
    for number, (share, found) in enumerate(errors.items()):
        values = [found[name] for name in names]
        left.bar(
            np.arange(len(names)) + 0.4 * number,
            np.mean(values, axis=1),
            0.4,
            yerr=np.std(values, axis=1),
            label=f"{100 * share:.0f} % of training targets corrupted",
        )
    left.set_xticks(np.arange(len(names)) + 0.2, names, rotation=15)
    left.set_ylabel("mean absolute error on clean test targets")
    left.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    for name, result in last.items():
        right.hist(
            result["residuals"], np.linspace(-4, 4, 60), histtype="step", label=name
        )
    right.set_xlabel("residual (target - prediction), trained with outliers")
    right.set_ylabel("number of test examples")
    right.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=5)
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
