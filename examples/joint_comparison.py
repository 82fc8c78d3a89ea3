"""Shared code of the joint training examples: runs over seeds and result tables."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

import keras_metaloss as kml

__all__ = ["Problem", "compare", "find_data"]

ALONE = "separate training"
BETAS = (0.0, 0.1, 0.3, 1.0)


class Problem(NamedTuple):
    """Two tasks with the same input, split for one seed.

    Attributes:
        train: Training set `(x, (y_a, y_b))`.
        validation: Validation set `(x, (y_a, y_b))`.
        test: Test set `(x, (y_a, y_b))`.
        networks: Creates the two networks with new initial weights.
        losses: Loss of each task.
        output_kinds: Distributions that the outputs represent, the argument
            `output_kinds` of `kml.losses.MutualInformationLoss`.
        score: Function from the outputs and targets of both tasks to scores by name.
    """

    train: tuple[Any, tuple[np.ndarray, np.ndarray]]
    validation: tuple[Any, tuple[np.ndarray, np.ndarray]]
    test: tuple[Any, tuple[np.ndarray, np.ndarray]]
    networks: Callable[[], tuple[keras.Model, keras.Model]]
    losses: tuple[Any, Any]
    output_kinds: dict[str, Any] | None
    score: Callable[[Any, Any], dict[str, float]]


def find_data(given: str | None, name: str) -> Path | None:
    """Returns `given`, else `name` in the folder `KERAS_METALOSS_DATA`, else `None`."""
    if given:
        path = Path(given)
        return path / name if path.is_dir() else path
    folder = os.environ.get("KERAS_METALOSS_DATA")
    path = Path(folder) / name if folder else None
    return path if path and path.is_file() else None


def compare(
    problem: Callable[[int], Problem],
    *,
    seeds: int,
    epochs: int,
    batch_size: int = 64,
    learning_rate: float = 1e-3,
    betas: tuple[float, ...] = BETAS,
    callbacks: Callable[[Problem], list[keras.callbacks.Callback]] | None = None,
) -> dict[str, list[dict[str, float]]]:
    """Compares separate and joint training on related and unrelated tasks.

    Prints tables. In every setting, networks of the same seed start from the same
    weights, are trained for the same number of epochs, and keep the weights of the
    epoch with their lowest validation loss. For the unrelated tasks, the targets of B
    are permuted between rows, so that A and B are independent. In this case, the
    information term must not make the predictions of A worse.

    Returns:
        Scores of each seed by setting, for the related tasks.
    """
    fit = {"epochs": epochs, "batch_size": batch_size, "verbose": 0}
    results: dict[str, list[dict[str, float]]] = {}
    control: dict[str, list[dict[str, float]]] = {}
    for seed in range(seeds):
        real = problem(seed)
        unrelated = _unrelated(real, seed)
        runs = [(results, real, None), *((results, real, beta) for beta in betas)]
        runs += [(control, unrelated, beta) for beta in (betas[0], betas[-1])]
        for table, data, beta in runs:
            keras.utils.set_random_seed(seed)
            setting = ALONE if beta is None else f"joint training, beta={beta:g}"
            keras.backend.clear_session()
            if beta is None:
                outputs = _alone(data, fit, learning_rate)
            else:
                draw = callbacks and seed == 0 and data is real and beta == betas[-1]
                extra = callbacks(data) if draw else []
                outputs = _together(data, beta, fit, learning_rate, extra)
            scores = data.score(outputs, data.test[1])
            table.setdefault(setting, []).append(scores)
        print(f"Seed {seed + 1} of {seeds} finished", flush=True)
    print(f"\nRelated tasks, mean ± standard deviation of {seeds} seeds")
    _print(results)
    print("\nUnrelated tasks (targets of B permuted between rows)")
    _print(control)
    _verdict(results)
    return results


def _alone(data, fit, learning_rate):
    outputs = []
    for index, network in enumerate(data.networks()):
        optimizer = keras.optimizers.Adam(learning_rate)
        # The loss of a single task does not mask missing labels, so drop these rows.
        network.compile(optimizer=optimizer, loss=data.losses[index])
        sets = [_labeled_rows(x, y[index]) for x, y in (data.train, data.validation)]
        best = keras.callbacks.EarlyStopping(
            patience=fit["epochs"], restore_best_weights=True
        )
        network.fit(*sets[0], validation_data=sets[1], callbacks=[best], **fit)
        outputs.append(np.asarray(network(data.test[0])))
    return outputs


def _together(data, beta, fit, learning_rate, callbacks):
    model = kml.JointModel(*data.networks())
    loss = kml.losses.MutualInformationLoss(
        *data.losses, beta=beta, output_kinds=data.output_kinds
    )
    model.compile(optimizer=keras.optimizers.Adam(learning_rate), loss=loss)
    model.fit(
        *data.train,
        validation_data=data.validation,
        callbacks=[*callbacks, BestOfEach()],
        **fit,
    )
    outputs = model(data.test[0])
    return [np.asarray(outputs["a"]), np.asarray(outputs["b"])]


class BestOfEach(keras.callbacks.Callback):
    """Restores the weights of the best epoch of each network in a `JointModel`.

    The best epoch is selected per network, because one network may still underfit when
    the other one already overfits.
    """

    def on_train_begin(self, logs=None):
        self.best = dict.fromkeys(self.model.tasks, (np.inf, None))

    def on_epoch_end(self, epoch, logs=None):
        for task, network in self.model.networks.items():
            loss = logs[f"val_loss_{task}"]
            if loss < self.best[task][0]:
                self.best[task] = (loss, network.get_weights())

    def on_train_end(self, logs=None):
        for task, (_, weights) in self.best.items():
            self.model.networks[task].set_weights(weights)


def _labeled_rows(x, y):
    known = ~np.isnan(y.reshape(len(y), -1).astype("float32")).any(axis=1)
    return x[known], y[known]


def _unrelated(data, seed):
    def permute(part):
        x, (a, b) = part
        return x, (a, np.random.default_rng(seed).permutation(b))

    return data._replace(
        train=permute(data.train),
        validation=permute(data.validation),
        test=permute(data.test),
    )


def _print(results):
    names = list(next(iter(results.values()))[0])
    print(f"{'':<24}" + "".join(f"{name:>22}" for name in names))
    for setting, runs in results.items():
        cells = []
        for name in names:
            values = np.array([run[name] for run in runs])
            spread = values.std(ddof=1) if len(values) > 1 else 0.0
            cells.append(f"{values.mean():.4f} ± {spread:.4f}")
        print(f"{setting:<24}" + "".join(f"{cell:>22}" for cell in cells))


def _verdict(results):
    """Prints paired differences from beta=0 and their significance."""
    print("\nDifference from beta=0, mean ± standard error over seeds:")
    base = results["joint training, beta=0"]
    for setting, runs in results.items():
        if setting in (ALONE, "joint training, beta=0"):
            continue
        parts = []
        for name in base[0]:
            pairs = zip(runs, base, strict=True)
            values = np.array([run[name] - other[name] for run, other in pairs])
            error = values.std(ddof=1) / len(values) ** 0.5 if len(values) > 1 else 0.0
            sure = (
                ""
                if abs(values.mean()) > 2 * error > 0
                else " (within two standard errors)"
            )
            parts.append(f"{name} {values.mean():+.4f} ± {error:.4f}{sure}")
        print(f"  {setting}: " + "; ".join(parts))
