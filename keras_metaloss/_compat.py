"""All uses of private Keras and TensorFlow APIs."""

from __future__ import annotations

import contextlib
import types
from collections.abc import Callable, Iterator
from typing import Any

import keras
import keras.src.backend
import tensorflow as tf
from keras.src.models.functional import Functional
from keras.src.trainers.compile_utils import CompileLoss
from tensorflow.python.eager import record
from tensorflow.python.ops import control_flow_util

__all__ = [
    "add_keras_mask",
    "added_losses_kept",
    "apply_group_normalization",
    "CompileLoss",
    "axis_of_loss",
    "compiled_loss",
    "compiled_loss_weights",
    "compute_loss_arguments",
    "current_stateless_scope",
    "compiled_metrics",
    "dense_uses_batched_products",
    "flatten_layers",
    "graph_inputs_and_outputs",
    "graph_nodes",
    "is_compiled_by_xla",
    "is_graph_of_layers",
    "is_injective",
    "is_made_of_logits",
    "keras_mask",
    "is_recording",
    "layer_normalization_functions",
    "operation_modules",
    "map_compiled_losses",
    "metrics_by_output",
    "loss_tracker",
    "no_autocast",
    "outside_of_the_graph",
    "own_weights",
    "pass_inputs_unchanged",
    "replace_compiled_loss",
    "seed_states",
    "set_keras_mask",
    "trusted_layers",
    "unscale_loss_for_distribution",
    "update_metrics",
    "uses_compute_loss_of_keras",
    "with_keras_mask",
]


class BackendError(ImportError, ValueError):
    """Error raised if Keras does not use the TensorFlow backend."""


if keras.backend.backend() != "tensorflow":
    raise BackendError(
        "keras_metaloss requires the TensorFlow backend of Keras. Set the environment "
        'variable KERAS_BACKEND="tensorflow" before importing Keras. '
        f"Received: keras.backend.backend()={keras.backend.backend()!r}"
    )


def flatten_layers(model: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Returns all layers of `model`, including nested ones, without `model` itself."""
    return list(model._flatten_layers(include_self=False))


def own_weights(model: keras.layers.Layer) -> list[keras.Variable]:
    """Returns the weights that layers created as trainable, including frozen ones."""
    layers = [model, *flatten_layers(model)]
    return [v for layer in layers for v in layer._trainable_variables]


def dense_uses_batched_products() -> bool:
    """Returns whether `Dense` multiplies sequences without flattening them."""
    major, minor = keras.__version__.split(".")[:2]
    return (int(major), int(minor)) < (3, 15)


def seed_states(model: keras.layers.Layer) -> list[keras.Variable]:
    """Returns the states of the random number generators of all layers."""
    layers = [model, *flatten_layers(model)]
    return [g.state for layer in layers for g in layer._seed_generators]


def axis_of_loss(loss: keras.losses.Loss) -> Any:
    """Returns the prediction axis that a loss reduces over; -1 if not configurable."""
    arguments = getattr(loss, "_fn_kwargs", {})
    return arguments.get("axis", getattr(loss, "axis", -1))


def graph_nodes(model: keras.Model) -> list[tuple[Any, list, list]] | None:
    """Returns operation, inputs and outputs of the calls in a functional graph.

    The calls are in an order in which they can be computed. The result is `None` for
    subclassed models.
    """
    graph = _graph(model)
    if graph is None:
        return None
    return [
        (node.operation, node.input_tensors, keras.tree.flatten(node.outputs))
        for depth in sorted(graph._nodes_by_depth, reverse=True)
        for node in graph._nodes_by_depth[depth]
        if node.operation is not None and not node.is_input
    ]


def graph_inputs_and_outputs(model: keras.Model) -> tuple[Any, Any]:
    """Returns the structures of the symbolic inputs and outputs of a graph."""
    graph = _graph(model)
    outputs = graph.output
    if isinstance(outputs, (list, tuple)) and len(outputs) == 1:
        (outputs,) = outputs  # As in calls of the model.
    return graph.input, outputs


def pass_inputs_unchanged(layer: keras.layers.Layer) -> None:
    """Makes Keras pass the inputs of a layer without conversions."""
    layer._convert_input_args = False


def _graph(model: keras.Model) -> Any:
    """Returns the functional model that computes `model`, or `None`."""
    graph = model._functional if type(model) is keras.Sequential else model
    is_graph = isinstance(graph, Functional) and type(graph).call is Functional.call
    return graph if is_graph else None


def is_compiled_by_xla() -> bool:
    """Returns whether the function being traced is compiled by XLA."""
    if tf.executing_eagerly():
        return False
    graph = tf.compat.v1.get_default_graph()
    return control_flow_util.GraphOrParentsInXlaContext(graph)


def is_graph_of_layers(model: Any) -> bool:
    """Returns whether a model is Functional or Sequential."""
    return isinstance(model, (keras.Sequential, Functional))


def is_injective(bijector: Any) -> bool:
    """Returns whether a TFP bijector, or a chain of bijectors, is injective."""
    return bijector._is_injective


def is_made_of_logits(predictions: tf.Tensor) -> bool:
    """Returns whether Keras losses would recover the logits of these predictions."""
    if hasattr(predictions, "_keras_logits"):
        return True
    # Eager tensors have no operation, even when a graph captures them.
    operation = getattr(predictions, "op", None)
    return operation is not None and operation.type in ("Sigmoid", "Softmax")


def trusted_layers() -> contextlib.AbstractContextManager:
    """Context in which layers that contain custom functions can be deserialized."""
    return keras.src.saving.serialization_lib.SafeModeScope(safe_mode=False)


def unscale_loss_for_distribution(loss: tf.Tensor) -> tf.Tensor:
    """Undoes the division by the number of replicas in Keras losses."""
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    return loss * tf.cast(replicas, loss.dtype) if replicas > 1 else loss


def set_keras_mask(tensor: tf.Tensor, mask: tf.Tensor) -> None:
    """Sets the mask of a prediction, which losses and metrics apply."""
    tensor._keras_mask = mask


def with_keras_mask(tensor: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Returns the predictions with another mask; those given keep theirs."""
    result = tf.identity(tensor)
    if hasattr(tensor, "_keras_logits"):
        # Keras's losses compute with the logits of a softmax or sigmoid.
        result._keras_logits = tensor._keras_logits
    set_keras_mask(result, mask)
    return result


def add_keras_mask(tensor: tf.Tensor, mask: tf.Tensor | None) -> None:
    """Combines `mask` with the mask that the tensor already has."""
    existing = keras_mask(tensor)
    if mask is not None:
        set_keras_mask(tensor, mask if existing is None else existing & mask)


def keras_mask(tensor: tf.Tensor) -> tf.Tensor | None:
    """Returns the mask of a prediction, which losses and metrics apply, or `None`."""
    return keras.src.backend.get_keras_mask(tensor)


def is_recording() -> bool:
    """Returns whether a gradient tape records the operations of this thread."""
    return record.could_possibly_record()


def replace_compiled_loss(model: keras.Model, make: Callable[..., CompileLoss]) -> None:
    """Replaces the compiled loss of a model by `make(loss, loss_weights, names)`."""
    compiled = model._compile_loss
    if compiled is not None:
        model._compile_loss = make(
            compiled._user_loss, compiled._user_loss_weights, compiled.output_names
        )


def compute_loss_arguments(model: keras.Model, training: bool) -> dict[str, bool]:
    """Returns the argument `training`, if `compute_loss` of the model takes it."""
    return {"training": training} if model._compute_loss_has_training_arg else {}


def uses_compute_loss_of_keras(cls: type, after: type) -> bool:
    """Returns whether no base class after a mix-in overrides `compute_loss`.

    Args:
        cls: Class of a model.
        after: The mix-in, among the bases of `cls`.
    """
    bases = cls.__mro__[cls.__mro__.index(after) + 1 :]
    first = next(base for base in bases if "compute_loss" in vars(base))
    return first.__module__.startswith("keras.src.")


def map_compiled_losses(compiled: CompileLoss, function: Callable) -> None:
    """Replaces each loss of a built `CompileLoss` with `function(loss, path)`."""
    compiled._flat_losses = [
        entry._replace(loss=function(entry.loss, entry.path))
        for entry in compiled._flat_losses
    ]


def update_metrics(
    metrics: keras.metrics.Metric,
    y_true: Any,
    y_pred: Any,
    weight: tf.Tensor,
    sample_weight: Any,
) -> None:
    """Updates compiled metrics and applies weights to unweighted metrics as well.

    Args:
        metrics: Built result of `compiled_metrics`.
        y_true: Targets, or a structure of them.
        y_pred: Predictions, or a structure of them.
        weight: Weights for the metrics in `compile(metrics=...)`, for each output.
        sample_weight: Weights for the metrics in `compile(weighted_metrics=...)`, a
            tensor or a structure of tensors.
    """
    y_true, y_pred = metrics._flatten_y(y_true), metrics._flatten_y(y_pred)
    weights = metrics._flatten_y(sample_weight)
    weights = weights * len(y_true) if len(weights) == 1 else weights
    for plain, weighted, target, output, w in zip(
        metrics._flat_metrics,
        metrics._flat_weighted_metrics,
        y_true,
        y_pred,
        weights,
        strict=True,
    ):
        if plain:
            plain.update_state(target, output, weight)
        if weighted:
            weighted.update_state(target, output, w)


def metrics_by_output(
    metrics: keras.metrics.Metric, *structures: Any
) -> Iterator[tuple[Any, ...]]:
    """Yields the metrics of each output and the entries of structures for it.

    Args:
        metrics: Built result of `compiled_metrics`.
        *structures: Structures with one entry per output.

    Yields:
        Metrics of `compile(metrics=...)`, metrics of `compile(weighted_metrics=...)`,
        and one entry of each structure.
    """
    flat = [metrics._flatten_y(structure) for structure in structures]
    for index, entries in enumerate(zip(*flat, strict=True)):
        # Early versions of Keras have an empty list if there are no metrics at all.
        lists = (
            found[index] if index < len(found) else None
            for found in (metrics._flat_metrics, metrics._flat_weighted_metrics)
        )
        yield (*(entry.metrics if entry else [] for entry in lists), *entries)


def compiled_loss(model: keras.Model) -> CompileLoss | None:
    """Returns the compiled loss of a model."""
    return model._compile_loss


def compiled_loss_weights(model: keras.Model) -> Any:
    """Returns the `loss_weights` passed to `compile`."""
    return model._compile_loss._user_loss_weights


def compiled_metrics(model: keras.Model) -> keras.metrics.Metric | None:
    """Returns the compiled metrics as one metric with a dictionary as its result."""
    return model._compile_metrics


def loss_tracker(model: keras.Model) -> keras.metrics.Mean:
    """Returns the metric that Keras reports as `loss`."""
    return model._loss_tracker


@contextlib.contextmanager
def added_losses_kept(model: keras.Model) -> Iterator[None]:
    """Context in which `model.losses` keeps the losses of the previous call.

    Another call, even in a `StatelessScope`, would clear the losses that layers added.
    """
    model._losses_override = model.losses
    try:
        yield
    finally:
        model._losses_override = []


@contextlib.contextmanager
def outside_of_the_graph() -> Iterator[None]:
    """Context in which variables are created outside of the graph being traced.

    Has no effect under a distribution strategy, where Keras creates the variables
    before tracing.
    """
    if tf.distribute.has_strategy():
        yield
        return
    with tf.init_scope(), tf.variable_creator_scope(_create_outside_graph):
        yield


def _create_outside_graph(next_creator: Callable, **arguments: Any) -> tf.Variable:
    return next_creator(**{**arguments, "experimental_enable_variable_lifting": False})


def no_autocast() -> contextlib.AbstractContextManager:
    """Context in which variables keep their precision, until a layer is called.

    Keras reads variables in half precision in every `call` of a layer with a mixed
    policy, whatever its argument `autocast`.
    """
    return keras.src.backend.AutocastScope(None)


def current_stateless_scope() -> keras.StatelessScope | None:
    """Returns the innermost stateless scope of this thread."""
    return keras.src.backend.common.stateless_scope.get_stateless_scope()


def operation_modules() -> tuple[types.ModuleType, types.ModuleType]:
    """Returns the modules of `keras.ops`, for users and for the code of Keras."""
    return keras.ops, keras.src.ops


def layer_normalization_functions() -> tuple[Callable, Callable]:
    """Returns `keras.ops.layer_normalization` and the function that it calls."""
    module = keras.src.ops.nn
    return module.layer_normalization, module._layer_normalization


def apply_group_normalization(
    layer: keras.layers.GroupNormalization,
    inputs: tf.Tensor,
    convert: Callable[[Callable], Callable],
) -> tf.Tensor:
    """Computes the outputs of a layer.

    Args:
        layer: The layer.
        inputs: Its inputs.
        convert: Converts the method of the layer that computes moments.
    """
    normalize = convert(type(layer)._apply_normalization)
    groups = layer._reshape_into_groups(inputs)
    outputs = tf.reshape(normalize(layer, groups, inputs.shape), tf.shape(inputs))
    return tf.cast(outputs, layer.compute_dtype)
