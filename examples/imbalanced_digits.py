"""Focal loss and cross-entropy on handwritten digits with 100:1 class imbalance.

    python examples/imbalanced_digits.py

Each of the digits 0 to 4 has 100 training examples, each of the digits 5 to 9 has one.
The settings of each loss are chosen on a validation set. Prints the balanced accuracy
(mean recall of the ten digits) on a balanced test set: mean and standard deviation over
seeds, which determine the split, the rare examples and the initial weights. Writes
`saved_models/imbalanced_digits.png`.
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

import keras_metaloss as kml

matplotlib.use("Agg")
import matplotlib.pyplot as plt

RARE = range(5, 10)
PLAIN = ("cross-entropy", "weighted cross-entropy")


def settings() -> dict[str, list]:
    """Returns the candidate losses of each family, from which tuning selects."""
    focal = kml.losses.SparseCategoricalFocalLoss
    entropy = keras.losses.SparseCategoricalCrossentropy
    return {
        "cross-entropy": [lambda alpha: entropy(from_logits=True)],
        "weighted cross-entropy": [
            lambda alpha, power=power: focal(0.0, alpha**power, from_logits=True)
            for power in (0.25, 0.5, 1.0)
        ],
        "focal": [
            lambda alpha, gamma=gamma: focal(gamma, from_logits=True)
            for gamma in (0.5, 1.0, 2.0, 5.0)
        ],
        "weighted focal": [
            lambda alpha, gamma=gamma, power=power: focal(
                gamma, alpha**power, from_logits=True
            )
            for gamma in (0.5, 2.0)
            for power in (0.5, 1.0)
        ],
        "learned gamma": [lambda alpha: focal("learned", from_logits=True)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--fast", action="store_true", help="a short trial run")
    parser.add_argument("--out", default="saved_models/imbalanced_digits.png")
    arguments = parser.parse_args()
    seeds, epochs = (1, 2) if arguments.fast else (arguments.seeds, arguments.epochs)

    recalls = {name: [] for name in settings()}
    for seed in range(seeds):
        split = imbalanced(seed)
        for name, members in settings().items():
            members = members[:1] if arguments.fast else members
            tried = [run(member, split, seed, epochs) for member in members]
            best = max(tried, key=lambda result: result["validation"].mean())
            recalls[name].append(best["test"])
    print(f"Balanced test accuracy, mean +- standard deviation of {seeds} seeds:")
    for name, values in recalls.items():
        scores = 100 * np.mean(values, axis=1)
        spread = scores.std(ddof=1) if seeds > 1 else 0.0
        print(f"  {name:<24}{scores.mean():5.1f} +- {spread:.1f} %")
    print(verdict(recalls))
    draw(recalls, pathlib.Path(arguments.out))
    print(f"Picture: {arguments.out}")


def imbalanced(seed: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Returns an imbalanced training set and balanced validation and test sets."""
    images, labels = load_digits(return_X_y=True)
    images = (images / 16.0).astype("float32")
    random = np.random.default_rng(seed)
    parts = {"train": [], "validation": [], "test": []}
    for digit in range(10):
        rows = random.permutation(np.flatnonzero(labels == digit))
        parts["validation"].append(rows[:24])
        parts["test"].append(rows[24:72])
        parts["train"].append(rows[72 : 73 if digit in RARE else 172])
    rows = {name: np.concatenate(part) for name, part in parts.items()}
    return {name: (images[part], labels[part]) for name, part in rows.items()}


def run(
    make_loss, split: dict[str, tuple], seed: int, epochs: int
) -> dict[str, np.ndarray]:
    """Trains a network; returns the recall per digit on validation and test sets."""
    keras.utils.set_random_seed(seed)
    x, y = split["train"]
    # Class weights are inversely proportional to `share`, with mean 1 over examples.
    share = np.bincount(y, minlength=10) / len(y)
    network = keras.Sequential(
        [
            keras.Input((64,)),
            keras.layers.Dense(64, "relu"),
            keras.layers.Dense(10),
        ]
    )
    model = kml.AdaptiveLossModel(network)
    model.compile(optimizer=keras.optimizers.Adam(3e-3), loss=make_loss(0.1 / share))
    model.fit(x, y, batch_size=32, epochs=epochs, verbose=0)
    return {part: recall(model, *split[part]) for part in ("validation", "test")}


def recall(model: keras.Model, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Computes the recall of each digit."""
    predicted = model.predict(x, verbose=0).argmax(axis=-1)
    return np.array([(predicted[y == digit] == digit).mean() for digit in range(10)])


def verdict(recalls: dict[str, list]) -> str:
    """Describes the differences from cross-entropy and their significance."""
    scores = {name: 100 * np.mean(values, axis=1) for name, values in recalls.items()}
    others = [name for name in scores if name != "cross-entropy"]
    lines = [compared(scores, name, "cross-entropy") for name in others]
    best, best_plain = (
        max(names, key=lambda name: scores[name].mean())
        for names in (set(scores) - set(PLAIN), PLAIN)
    )
    if best_plain != "cross-entropy":
        lines.append(compared(scores, best, best_plain))
    return "\n".join(lines)


def compared(scores: dict[str, np.ndarray], name: str, other: str) -> str:
    """Describes the mean paired difference between two losses over the seeds."""
    gain = scores[name] - scores[other]
    error = gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else np.inf
    word = "no clear difference from"
    if abs(gain.mean()) > 2 * error:
        word = "better than" if gain.mean() > 0 else "worse than"
    return f"  {name}: {gain.mean():+.1f} points, {word} {other}"


def draw(recalls: dict[str, list], path: pathlib.Path) -> None:
    """Draws the recall of each digit for each loss."""
    figure, axis = plt.subplots(figsize=(10, 4))
    width = 0.8 / len(recalls)
    for number, (name, values) in enumerate(recalls.items()):
        axis.bar(
            np.arange(10) + number * width, np.mean(values, axis=0), width, label=name
        )
    axis.set_xticks(np.arange(10) + 0.4 - width / 2, [str(d) for d in range(10)])
    axis.set_xlabel("digit (5 to 9 are rare, 1:100)")
    axis.set_ylabel("recall on the test set")
    figure.legend(loc="lower center", ncols=len(recalls))
    figure.tight_layout(rect=(0.0, 0.08, 1.0, 1.0))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
