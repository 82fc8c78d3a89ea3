"""Robust losses on wine quality, as it is and with one training target in ten wrong.

    python examples/outliers_regression.py [--data wine_quality.npz]

Regresses the score of wines on their chemistry (or, where that file is not there, the
progression of diabetes in scikit-learn's built-in set). Each loss gets its setting from
a validation set, which has wrong targets too and is therefore judged by its median
error; what is reported is the mean absolute error on clean test targets, in standard
deviations of the target, mean and deviation over seeds. Draws
`saved_models/outliers_regression.png`.
"""

from __future__ import annotations

import argparse
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import matplotlib
import numpy as np
from sklearn.datasets import load_diabetes

import keras_metaloss as kml

matplotlib.use("Agg")
import matplotlib.pyplot as plt

PLAIN = ("MSE", "MAE", "Huber")


def settings() -> dict[str, list]:
    """Each family of losses, and the members that tuning chooses from."""
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
    default = pathlib.Path(os.environ.get("KERAS_METALOSS_DATA", "."))
    parser.add_argument("--data", default=default / "wine_quality.npz")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--fast", action="store_true", help="one short run, to try it")
    parser.add_argument("--out", default="saved_models/outliers_regression.png")
    arguments = parser.parse_args()
    seeds, epochs = (1, 1) if arguments.fast else (arguments.seeds, arguments.epochs)

    name, x, y, group = load(pathlib.Path(arguments.data))
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
    print(f"Learned with outliers: alpha {shape:.2f}, scale {scale:.2f}")
    draw(errors, last, pathlib.Path(arguments.out))
    print(f"Picture: {arguments.out}")


def load(path: pathlib.Path) -> tuple[str, np.ndarray, np.ndarray, np.ndarray]:
    """Name, features, targets, and which rows must stay together."""
    if not path.is_file():
        x, y = load_diabetes(return_X_y=True)
        return "diabetes", x, y, np.arange(len(x))
    with np.load(path) as file:
        x = np.concatenate([file["x"], file["is_white"][:, np.newaxis]], axis=1)
        return "wine quality", x, file["quality"] * 1.0, file["duplicate_group"]


def parts(
    x: np.ndarray, y: np.ndarray, group: np.ndarray, share: float, seed: int
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Half for training, a quarter each for validation and test, standardised."""
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
    # Errors of a hand: too large by some ten deviations.
    wrong = (random.random(len(y)) < share) & ~rows["test"]
    y = y + wrong * random.normal(10.0, 3.0, len(y))
    return {
        name: (x[part].astype("float32"), y[part, np.newaxis].astype("float32"))
        for name, part in rows.items()
    }


def run(make_loss, split: dict[str, tuple], seed: int, epochs: int) -> dict:
    """Errors on validation and test set after training."""
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
    apart = {
        part: split[part][1] - model.predict(split[part][0], verbose=0)
        for part in ("validation", "test")
    }
    result = {
        "validation": np.median(np.abs(apart["validation"])),
        "test": np.abs(apart["test"]).mean(),
        "residuals": apart["test"][:, 0],
    }
    if isinstance(model.loss, kml.losses.AdaptiveRobustLoss):
        result["parameters"] = model.loss.alpha, model.loss.scale
    return result


def report(errors: dict[str, list], share: float) -> None:
    """Prints means and deviations, and whether a loss wins."""
    print(f"\nMean absolute error, {100 * share:.0f} % of training targets wrong:")
    for name, values in errors.items():
        spread = np.std(values, ddof=1) if len(values) > 1 else 0.0
        print(f"  {name:<20}{np.mean(values):.3f} +- {spread:.3f}")
    print(verdict(errors))


def verdict(errors: dict[str, list]) -> str:
    """Whether a loss that adapts beats the best plain one by more than chance."""
    plain, ours = (
        min(names, key=lambda name: np.mean(errors[name]))
        for names in (PLAIN, set(errors) - set(PLAIN))
    )
    gain = np.subtract(errors[plain], errors[ours])
    text = f"  {ours} is {gain.mean():+.3f} better than {plain}, the best plain loss"
    if len(gain) < 2:
        return f"{text}; one seed says nothing."
    error = 2 * gain.std(ddof=1) / len(gain) ** 0.5
    if abs(gain.mean()) <= error:
        return f"{text}: not by two standard errors ({error:.3f})."
    winner = ours if gain.mean() > 0 else plain
    return f"{text}: {winner} wins by two standard errors ({error:.3f}) or more."


def draw(errors: dict, last: dict[str, dict], path: pathlib.Path) -> None:
    """Errors with and without outliers, and where the residuals lie."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 4))
    names = list(errors[0.0])
    for number, (share, found) in enumerate(errors.items()):
        values = [found[name] for name in names]
        left.bar(
            np.arange(len(names)) + 0.4 * number,
            np.mean(values, axis=1),
            0.4,
            yerr=np.std(values, axis=1),
            label=f"{100 * share:.0f} % of training targets wrong",
        )
    left.set_xticks(np.arange(len(names)) + 0.2, names, rotation=15)
    left.set_ylabel("mean absolute error, clean test set")
    left.legend()
    for name, result in last.items():
        right.hist(
            result["residuals"], np.linspace(-4, 4, 60), histtype="step", label=name
        )
    right.set_xlabel("target - prediction, trained with outliers")
    right.legend()
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
