"""Optimizer that updates each network with its own optimizer."""

from __future__ import annotations

import types
from typing import Any

import keras
import tensorflow as tf

__all__ = ["NetworkOptimizers"]


@keras.saving.register_keras_serializable(package="keras_metaloss")
class NetworkOptimizers(keras.optimizers.Optimizer):
    """Optimizer that updates each variable with the optimizer of its network.

    Created by `kml.JointModel.compile(optimizer={...})`. Reading `learning_rate`
    returns the rate of the first optimizer; setting it sets the rates of all.

    Args:
        optimizers: Dictionary of Keras optimizers, their names or configurations, by
            name of the network.
        name: Name of the optimizer. Defaults to `"network_optimizers"`.
    """

    def __init__(
        self, optimizers: dict[str, Any], name: str = "network_optimizers"
    ) -> None:
        super().__init__(learning_rate=0.0, name=name)
        self.optimizers = {
            key: keras.optimizers.get(value) for key, value in optimizers.items()
        }
        # A namespace, because Keras tracks variables set on an optimizer as state.
        self._untracked = types.SimpleNamespace(groups={})

    def build_for(self, networks: dict[str, keras.Model]) -> None:
        """Assigns the variables of each network to its optimizer.

        Raises:
            ValueError: If names differ or networks share variables.
        """
        if set(networks) != set(self.optimizers):
            raise ValueError(
                "Invalid value for argument `optimizer`. Expected one optimizer per "
                f"network of {tuple(networks)}. Received: optimizer with keys "
                f"{tuple(self.optimizers)}"
            )
        groups = {name: net.trainable_variables for name, net in networks.items()}
        flat = [id(variable) for group in groups.values() for variable in group]
        if len(flat) != len(set(flat)):
            raise ValueError(
                "Invalid value for argument `optimizer`. Expected a single optimizer "
                "for networks with shared variables. Received: optimizer with keys "
                f"{tuple(networks)}"
            )
        self._untracked.groups = groups

    def build(self, variables: list[keras.Variable]) -> None:
        for name, group in self._untracked.groups.items():
            if not self.optimizers[name].built:
                self.optimizers[name].build(group)
        self.built = True

    def apply(
        self,
        grads: list[tf.Tensor],
        trainable_variables: list[keras.Variable] | None = None,
    ) -> tf.Tensor:
        """Applies one update of each optimizer to its network."""
        pairs = zip(grads, trainable_variables or (), strict=True)
        by_variable = {id(variable): gradient for gradient, variable in pairs}
        for name, group in self._untracked.groups.items():
            variables = [v for v in group if id(v) in by_variable]
            gradients = [by_variable[id(v)] for v in variables]
            self.optimizers[name].apply(gradients, variables)
        self.iterations.assign_add(1)
        return self.iterations

    def finalize_variable_values(self, var_list: list[keras.Variable]) -> None:
        for name, group in self._untracked.groups.items():
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
