"""One optimizer for each of several networks."""

from __future__ import annotations

import types
from typing import Any

import keras
import tensorflow as tf

__all__ = ["NetworkOptimizers"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class NetworkOptimizers(keras.optimizers.Optimizer):
    """Hands each variable to the optimizer of its network.

    `kml.JointModel.compile(optimizer={...})` makes one. `learning_rate` is that of the
    first optimizer; setting it sets all.

    Args:
        optimizers: a Keras optimizer, or what stands for one, for each network.
        name: name of the optimizer.
    """

    def __init__(
        self, optimizers: dict[str, Any], name: str = "network_optimizers"
    ) -> None:
        super().__init__(learning_rate=0.0, name=name)
        self.optimizers = {
            key: keras.optimizers.get(value) for key, value in optimizers.items()
        }
        # A namespace: Keras would take variables set on an optimizer for its own.
        self._own = types.SimpleNamespace(groups={})

    def attach(self, networks: dict[str, keras.Model]) -> None:
        """Says whose variables are whose.

        Raises:
            ValueError: if names differ or a variable is in two networks.
        """
        if set(networks) != set(self.optimizers):
            raise ValueError(
                "Invalid value for argument `optimizer`. Expected an optimizer for "
                f"each of {tuple(networks)}. Received: optimizer for "
                f"{tuple(self.optimizers)}"
            )
        groups = {name: net.trainable_variables for name, net in networks.items()}
        flat = [id(variable) for group in groups.values() for variable in group]
        if len(flat) != len(set(flat)):
            raise ValueError(
                "Expected networks without shared variables for one optimizer each; "
                "with shared layers use a single optimizer. Received: networks "
                f"{tuple(networks)}"
            )
        self._own.groups = groups

    def build(self, variables: list[keras.Variable]) -> None:
        for name, group in self._own.groups.items():
            if not self.optimizers[name].built:
                self.optimizers[name].build(group)
        self.built = True

    def apply(
        self,
        grads: list[tf.Tensor],
        trainable_variables: list[keras.Variable] | None = None,
    ) -> tf.Tensor:
        """One update by each optimizer; all variables must be given."""
        by_variable = {
            id(variable): gradient
            for gradient, variable in zip(grads, trainable_variables, strict=True)
        }
        for name, group in self._own.groups.items():
            given = [v for v in group if id(v) in by_variable]
            gradients = [by_variable[id(variable)] for variable in given]
            self.optimizers[name].apply(gradients, given)
        self.iterations.assign_add(1)
        return self.iterations

    def finalize_variable_values(self, var_list: list[keras.Variable]) -> None:
        for name, group in self._own.groups.items():
            self.optimizers[name].finalize_variable_values(group)

    @property
    def learning_rate(self) -> Any:
        return next(iter(self.optimizers.values())).learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        for optimizer in self.optimizers.values():
            optimizer.learning_rate = value

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        optimizers = {key: serialize(value) for key, value in self.optimizers.items()}
        return {"name": self.name, "optimizers": optimizers}

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> NetworkOptimizers:
        optimizers = {
            key: keras.saving.deserialize_keras_object(value, custom_objects)
            for key, value in config["optimizers"].items()
        }
        return cls(optimizers, name=config["name"])
