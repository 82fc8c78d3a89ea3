"""Almost no inner loop: only some layers, usually the last, adapt."""

from __future__ import annotations

import types
from collections.abc import Sequence
from typing import Any

import keras

from keras_metaloss import _compat
from keras_metaloss.adaptation.gradient import GradientAdaptation

__all__ = ["ANIL"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class ANIL(GradientAdaptation):
    """MAML whose inner loop changes some layers only; the outer loop trains all.

    With head `h` and body `b`: `h_{k+1} = h_k - rate * grad_h L_support(h_k, b)`. The
    body is not differentiated in the inner loop, which makes a step cheaper the more
    inner updates there are.

    Args:
        steps: number of inner updates in training.
        learning_rate: inner step size; `None` is 0.01, or the rate of `optimizer`.
        layers: names of the layers that adapt, nested ones too; `None` takes the last
            layer of the learner that has trainable weights.
        optimizer: as in `kml.adaptation.MAML`.
        first_order: as in `kml.adaptation.MAML`.
        evaluation_steps: as in `kml.adaptation.MAML`.
        loss: as in `kml.adaptation.MAML`.
        normalization: as in `kml.adaptation.MAML`.
        name: name of the layer.

    Raises:
        ValueError: if an argument is out of range or names no layer with weights.

    Example:

    >>> import keras, keras_metaloss as kml
    >>> learner = kml.learners.mlp((1,), 1)
    >>> model = kml.MetaModel(learner, kml.adaptation.ANIL(3, 0.1))
    >>> adapted = zip(learner.trainable_variables, model.adaptation.is_adapted())
    >>> [variable.path for variable, adapts in adapted if adapts]
    ['mlp/dense_2/kernel', 'mlp/dense_2/bias']

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
        self.layers = None if layers is None else list(layers)

    def attach(self, learner: keras.Model) -> None:
        super().attach(learner)
        trained = [
            layer
            for layer in _compat.flatten_layers(learner)
            if layer.trainable_variables
        ]
        names = [layer.name for layer in trained]
        found = dict(zip(names, trained, strict=True))
        twice = [name for name in self.layers or [] if names.count(name) > 1]
        if twice:
            raise ValueError(
                "Invalid value for argument `layers`. Expected names that one layer "
                f"has. Received: layers={self.layers!r}, of which several have {twice}"
            )
        unknown = [name for name in self.layers or [] if name not in found]
        if unknown or self.layers == []:
            raise ValueError(
                "Invalid value for argument `layers`. Expected names of layers with "
                f"trainable weights, of {sorted(found)}. Received: "
                f"layers={self.layers!r}"
            )
        # A namespace, because Keras would track and save layers set on this one.
        self._own = types.SimpleNamespace(heads=[])
        if self.layers is None:
            last = learner.trainable_variables[-1]
            self._own.heads = [
                layer
                for layer in found.values()
                if any(v is last for v in layer.trainable_variables)
            ][-1:]
        else:
            self._own.heads = [found[name] for name in self.layers]

    def is_adapted(self) -> list[bool]:
        ids = {id(v) for layer in self._own.heads for v in layer.trainable_variables}
        return [id(v) in ids for v in self._functional.weight_variables]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "layers": self.layers}
