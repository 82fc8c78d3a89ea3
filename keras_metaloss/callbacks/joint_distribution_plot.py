"""Plots of the joint distribution and the mutual information of two tasks."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_metaloss._utils.checks import check_positive_integer
from keras_metaloss.information import (
    InformationTerms,
    JointDensity,
    joint_density,
    mutual_information_terms,
)
from keras_metaloss.information.predicted._options import Options

__all__ = ["JointDistributionPlot"]


class JointDistributionPlot(keras.callbacks.Callback):
    """Plots p(a, b) of a `kml.JointModel` and I(A;B) over epochs to a PNG file.

    The left panel shows the joint distribution that two networks predict for `x`: one
    curve per class if one variable is categorical and the other one continuous,
    otherwise a color map. The right panel shows I(A;B) of `x` in nats, computed by the
    estimator of the loss, and its upper bound: the smallest entropy of a categorical
    variable. The file is overwritten after every `every` epochs.

    Args:
        filepath: Path of the file. `{epoch}` in the path is replaced with the epoch, to
            save one file per plot.
        x: Inputs whose predictions are plotted. A few hundred examples are enough.
        pair: Names of the two tasks. Defaults to `None`, which uses the first pair of
            the loss.
        every: Number of epochs between plots. Defaults to `1`.
        class_names: Dictionary from a task name to the names of its classes, for the
            legend. Defaults to `None`, which uses the task name and the integer labels.

    Raises:
        ValueError: If `every` is not a positive integer. At the start of training, if
            the model is not a `kml.JointModel` with these tasks, or if one of the two
            variables is a vector.

    Example:

    >>> import pathlib, tempfile, keras, numpy as np, keras_metaloss as kml
    >>> def network(units):
    ...     return keras.Sequential([keras.Input((4,)), keras.layers.Dense(units)])
    >>> model = kml.JointModel(network(3), network(1))
    >>> loss_a = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    >>> model.compile("adam", kml.losses.MutualInformationLoss(loss_a, "mse"))
    >>> x, y = np.random.rand(32, 4), {"a": np.zeros(32, int), "b": np.zeros(32)}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "joint.png"
    ...     plot = kml.callbacks.JointDistributionPlot(path, x)
    ...     history = model.fit(x, y, verbose=0, callbacks=[plot])
    ...     path.exists()
    True
    """

    def __init__(
        self,
        filepath: str | os.PathLike,
        x: Any,
        pair: tuple[str, str] | None = None,
        every: int = 1,
        class_names: dict[str, list[str]] | None = None,
    ) -> None:
        super().__init__()
        self.filepath = os.fspath(filepath)
        self.x = x
        self.pair = pair
        self.every = check_positive_integer("every", every)
        self.class_names = class_names or {}
        self.history: dict[str, list[float]] = {"epoch": [], "mutual_information": []}

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        pairs = getattr(self.model.loss, "pairs", ())
        if self.pair is None and pairs:
            self.pair = pairs[0]
        if self.pair is None or not set(self.pair) <= set(self.model.tasks):
            raise ValueError(
                "Invalid value for argument `pair`. Expected two tasks of a "
                f"`kml.JointModel`. Received: pair={self.pair!r}"
            )
        self._names: tuple[str, str] = self.pair
        # Adds the first point of the curve, and raises errors before training.
        self._evaluate(epoch=0)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if (epoch + 1) % self.every == 0:
            density, terms = self._evaluate(epoch + 1)
            self._draw(epoch + 1, density, terms)

    def _evaluate(self, epoch: int) -> tuple[JointDensity, InformationTerms]:
        """Computes the density and the information terms; records the latter."""
        outputs = self.model.predict(self.x, verbose=0)
        loss = self.model.loss
        distributions = loss.distributions(outputs)
        a, b = (distributions[name] for name in self._names)
        options = loss.options or Options()
        terms = mutual_information_terms(a, b, **options._asdict())
        information = terms.mutual_information
        if loss.options is None:
            information = loss.estimator(a, b)
        self.history["epoch"].append(epoch)
        self.history["mutual_information"].append(float(information))
        density = joint_density(
            a, b, num_points=options.num_points, bandwidth=options.bandwidth
        )
        return density, terms

    def _draw(self, epoch: int, density: JointDensity, terms: InformationTerms) -> None:
        # `pyplot` is not used, because it is not thread-safe and may open windows.
        from matplotlib.figure import Figure

        figure = Figure(figsize=(10, 4), layout="constrained")
        left, right = figure.subplots(1, 2)
        self._draw_density(figure, left, density)
        left.set_title(f"p({', '.join(self._names)}) after epoch {epoch}")
        right.plot(*self.history.values(), marker=".", color="C0", label="I(A;B)")
        variables = ((terms.entropy_a, density.a), (terms.entropy_b, density.b))
        bounds = [
            float(entropy) for entropy, values in variables if _is_categorical(values)
        ]
        if bounds:
            label = "minimum class entropy"
            right.axhline(min(bounds), color="gray", linestyle="--", label=label)
        right.set_ylim(bottom=0)
        right.set_xlabel("epoch")
        right.set_ylabel("nats")
        right.legend()
        path = Path(self.filepath.format(epoch=epoch))
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, dpi=120)

    def _draw_density(self, figure: Any, axes: Any, density: JointDensity) -> None:
        (name_a, name_b), (a, b, p) = self._names, density
        if _is_categorical(b) and not _is_categorical(a):
            (name_a, a), (name_b, b), p = (name_b, b), (name_a, a), p.T
        if _is_categorical(a) and not _is_categorical(b):
            names = self.class_names.get(name_a, [f"{name_a} = {i}" for i in a])
            for label, curve in zip(names, p, strict=True):
                axes.plot(b, curve, label=label)
            visible = np.flatnonzero(p.sum(axis=0) > 1e-3 * p.sum(axis=0).max())
            axes.set_xlim(b[visible[0]], b[visible[-1]])
            axes.set_xlabel(name_b)
            axes.set_ylabel("density")
            axes.legend(fontsize="small")
            return
        image = axes.pcolormesh(b, a, p, cmap="viridis", shading="nearest")
        figure.colorbar(image, ax=axes)
        axes.set_xlabel(name_b)
        axes.set_ylabel(name_a)


def _is_categorical(values: np.ndarray) -> bool:
    return np.issubdtype(values.dtype, np.integer)
