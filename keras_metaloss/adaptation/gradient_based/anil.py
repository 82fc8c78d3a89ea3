"""ANIL (almost no inner loop): adapts some layers, usually the last."""

from __future__ import annotations

import types
from collections.abc import Sequence
from typing import Any

import keras

from keras_metaloss import _compat
from keras_metaloss.adaptation.gradient_based.gradient_adaptation import (
    GradientAdaptation,
)

__all__ = ["ANIL"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class ANIL(GradientAdaptation):
    """MAML whose inner loop adapts selected layers; the outer loop trains all layers.

    With head `h` and body `b`: `h_{k+1} = h_k - rate * grad_h L_support(h_k, b)`. The
    inner loop does not differentiate the body, which saves time in every inner step.

    Args:
        steps: Number of inner steps in training. Defaults to `1`.
        learning_rate: Non-negative inner step size. `None` uses the learning rate of
            `optimizer`, or 0.01 without an optimizer. Defaults to `None`.
        layers: Names of the adapted layers, which may be nested. `None` uses the last
            layer of the learner with trainable weights. Defaults to `None`.
        optimizer: Keras optimizer (`SGD`, `RMSprop`, `Adam` or `AdamW`) whose
            settings define the inner update. `None` uses gradient descent. Defaults
            to `None`.
        first_order: Whether the outer loop treats inner gradients as constants.
            Defaults to `False`.
        evaluation_steps: Number of inner steps in `evaluate`, `predict`, `adapt` and
            `export`. `None` uses `steps`. Defaults to `None`.
        loss: Inner loss: a Keras loss, or a structure of losses for learners with
            several outputs. `None` uses the loss passed to `compile`. Defaults to
            `None`.
        normalization: Statistics used by batch normalization: `"support"` (of the
            support set, also for queries), `"batch"` (of the queries for queries,
            which is transductive), `"moving"` (moving averages in evaluation) or
            `"per_step"` (like `"support"`, with a separate scale and shift for each
            inner step). Defaults to `"support"`.
        name: Name of the layer; `None` generates one. Defaults to `None`.

    Raises:
        ValueError: If an argument is invalid, if both `learning_rate` and `optimizer`
            are passed, or if a name in `layers` is not unique or not the name of a
            layer with trainable weights.

    Example:

    >>> import keras, keras_metaloss as kml
    >>> learner = kml.learners.mlp((1,), 1)
    >>> model = kml.MetaModel(learner, kml.adaptation.ANIL(3, 0.1))
    >>> len(learner.layers[-1].trainable_variables)
    2
    >>> model.adaptation.is_adapted()
    [False, False, False, False, True, True]

    Reference:
        Raghu et al., "Rapid Learning or Feature Reuse? Towards Understanding the
        Effectiveness of MAML", 2020, section 4.
    """

    def __init__(
        self,
        steps: int = 1,
        learning_rate: float | None = None,
        *,
        layers: Sequence[str] | None = None,
        optimizer: keras.optimizers.Optimizer | None = None,
        first_order: bool = False,
        evaluation_steps: int | None = None,
        loss: Any = None,
        normalization: str = "support",
        name: str | None = None,
    ) -> None:
        super().__init__(
            steps,
            learning_rate,
            optimizer=optimizer,
            first_order=first_order,
            evaluation_steps=evaluation_steps,
            loss=loss,
            normalization=normalization,
            name=name,
        )
        if isinstance(layers, str):
            layers = [layers]
        self.layers = None if layers is None else _check_names(layers)

    def build_for(self, learner: keras.Model) -> None:
        super().build_for(learner)
        trained = [
            layer
            for layer in _compat.flatten_layers(learner)
            if layer.trainable_variables
        ]
        names = [layer.name for layer in trained]
        by_name = dict(zip(names, trained, strict=True))
        duplicates = [name for name in self.layers or [] if names.count(name) > 1]
        if duplicates:
            raise ValueError(
                "Invalid value for argument `layers`. Layer names must be unique. "
                f"Received: layers={self.layers!r}, not unique: {duplicates}"
            )
        unknown = [name for name in self.layers or [] if name not in by_name]
        if unknown or self.layers == []:
            raise ValueError(
                "Invalid value for argument `layers`. Expected one or more names of "
                f"layers with trainable weights: {sorted(by_name)}. Received: "
                f"layers={self.layers!r}"
            )
        # Keras would track and save layers that are attributes of this layer.
        self._untracked = types.SimpleNamespace(heads=[])
        if self.layers is None:
            last = learner.trainable_variables[-1]
            self._untracked.heads = [
                layer
                for layer in by_name.values()
                if any(v is last for v in layer.trainable_variables)
            ][-1:]
        else:
            self._untracked.heads = [by_name[name] for name in self.layers]

    def is_adapted(self) -> list[bool]:
        ids = {
            id(v) for layer in self._untracked.heads for v in layer.trainable_variables
        }
        return [id(v) in ids for v in self._functional.weight_variables]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "layers": self.layers}


def _check_names(layers: Any) -> list[str]:
    """Returns the names as a list, or raises a `ValueError`."""
    is_sequence = isinstance(layers, (list, tuple))
    if not is_sequence or not all(isinstance(name, str) for name in layers):
        raise ValueError(
            "Invalid value for argument `layers`. Expected a list of layer names. "
            f"Received: layers={layers!r}"
        )
    return list(layers)
