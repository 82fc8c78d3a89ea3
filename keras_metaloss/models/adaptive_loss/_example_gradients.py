"""Per-example gradients of a loss with respect to weights of the network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_metaloss import _compat
from keras_metaloss._utils.masks import combine_masks, masked_mean
from keras_metaloss._utils.pass_scope import PassScope
from keras_metaloss.losses._core.loss_context import GradientStatistics

__all__ = ["last_layer_statistics", "parameter_statistics"]


def parameter_statistics(
    network: keras.layers.Layer,
    variables: list[keras.Variable],
    loss: Callable,
    x: Any,
    y: Any,
    *,
    chunk_size: int,
    with_cosines: bool,
) -> GradientStatistics:
    """Computes norms of per-example gradients with respect to weights, in chunks.

    Args:
        network: Computes predictions from x; called in inference mode.
        variables: Trainable weights of the network.
        loss: `(y_true, y_pred) -> values [N, ...]`; averaged over all axes but N.
        x: Inputs, `[N, ...]`, or a structure of them.
        y: Targets, `[N, ...]`.
        chunk_size: Number of examples whose gradients are in memory at the same time.
        with_cosines: Whether to compute cosines with the mean gradient.

    Raises:
        ValueError: If a recurrent layer is not unrolled.
    """
    _check_unrolled(network)
    # Read variables here: inside a loop, a replica cannot find its local copy.
    all_variables = network.variables
    values = {id(v): tf.convert_to_tensor(v.value) for v in all_variables}
    count = tf.shape(keras.tree.flatten(x)[0])[0]
    if not variables:
        zeros = tf.zeros([count])
        return GradientStatistics(zeros, zeros)
    trained = [values[id(v)] for v in variables]

    def gradients(inputs: Any, targets: Any) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(trained)
            mapping = [(v, values[id(v)]) for v in all_variables]
            with PassScope(network, mapping, calls=_SAFE_CALLS):
                outputs = network(inputs, training=False)
            value = tf.reduce_sum(_example_means(loss, targets, outputs))
        by_variable = tape.gradient(value, trained)
        return [tf.convert_to_tensor(g) for g in by_variable if g is not None]

    mean = None
    if with_cosines:
        mean = [g / tf.cast(count, g.dtype) for g in gradients(x, y)]

    def one_example(example: Any) -> tuple[tf.Tensor, tf.Tensor]:
        single = keras.tree.map_structure(lambda t: t[tf.newaxis], example)
        by_variable = gradients(*single)
        square = tf.add_n([tf.reduce_sum(tf.square(g)) for g in by_variable])
        if mean is None:
            return square, tf.zeros_like(square)
        pairs = zip(by_variable, mean, strict=True)
        return square, tf.add_n([tf.reduce_sum(g * m) for g, m in pairs])

    def one_chunk(indices: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        chunk = keras.tree.map_structure(lambda t: tf.gather(t, indices), (x, y))
        return tf.vectorized_map(one_example, chunk)

    # The last chunk is padded with the last example.
    chunks = (count + chunk_size - 1) // chunk_size
    indices = tf.minimum(tf.range(chunks * chunk_size), count - 1)
    dtype = keras.tree.flatten(variables)[0].dtype
    squares, products = tf.map_fn(
        one_chunk,
        tf.reshape(indices, [chunks, chunk_size]),
        fn_output_signature=(dtype, dtype),
    )
    squares, products = (tf.reshape(v, [-1])[:count] for v in (squares, products))
    return _statistics(squares, products, mean)


def last_layer_statistics(
    network: keras.layers.Layer,
    loss: Callable,
    x: Any,
    y: Any,
    *,
    with_cosines: bool,
) -> GradientStatistics:
    """Computes norms of per-example gradients with respect to the last layer.

    The last layer must be a `Dense` layer. For one feature vector h per example, the
    gradient with respect to the kernel is `h (dL/dz)^T`, with norm `||h|| ||dL/dz||`.
    The bias is treated as a feature equal to 1.

    Args:
        network: Computes predictions from x; called in inference mode.
        loss: `(y_true, y_pred) -> values [N, ...]`; averaged over all axes but N.
        x: Inputs, `[N, ...]`, or a structure of them.
        y: Targets, `[N, ...]`.
        with_cosines: Whether to compute cosines with the mean gradient.
    """
    calls: list[tuple[keras.layers.Layer, tf.Tensor, tf.Tensor]] = []

    def dense(
        layer: keras.layers.Dense, inputs: tf.Tensor, training: bool | None = None
    ) -> tf.Tensor:
        features = tf.cast(inputs, layer.compute_dtype)
        logits = keras.ops.matmul(features, layer.kernel)
        if layer.use_bias:
            logits = logits + layer.bias
        tape.watch(logits)
        calls.append((layer, features, logits))
        return logits if layer.activation is None else layer.activation(logits)

    with tf.GradientTape() as tape:
        with PassScope(network, calls={keras.layers.Dense: dense}):
            outputs = network(x, training=False)
        value = tf.reduce_sum(_example_means(loss, y, outputs))
    _check_last(network, calls)
    layer, features, logits = calls[-1]
    slopes = tape.gradient(value, logits)
    if layer.use_bias:
        features = tf.concat([features, tf.ones_like(features[..., :1])], axis=-1)
    if features.shape.rank == 2:
        squares = _squares(features) * _squares(slopes)
        mean = tf.matmul(features, slopes, transpose_a=True)
        products = tf.reduce_sum(tf.matmul(features, mean) * slopes, axis=-1)
    else:
        batch = tf.shape(features)[0]
        features = tf.reshape(features, [batch, -1, features.shape[-1]])
        slopes = tf.reshape(slopes, [batch, -1, slopes.shape[-1]])
        gradients = tf.matmul(features, slopes, transpose_a=True)
        squares = tf.reduce_sum(tf.square(gradients), axis=[1, 2])
        mean = tf.reduce_sum(gradients, axis=0)
        products = tf.reduce_sum(gradients * mean, axis=[1, 2])
    return _statistics(squares, products, [mean] if with_cosines else None)


def _flat_dense(
    layer: keras.layers.Dense, inputs: tf.Tensor, training: bool | None = None
) -> tf.Tensor:
    """Computes a `Dense` layer as one product of two matrices."""
    inputs = tf.cast(inputs, layer.compute_dtype)
    outputs = tf.matmul(tf.reshape(inputs, [-1, inputs.shape[-1]]), layer.kernel)
    outputs = tf.reshape(
        outputs, tf.concat([tf.shape(inputs)[:-1], [layer.units]], axis=0)
    )
    if layer.use_bias:
        outputs = outputs + layer.bias
    return outputs if layer.activation is None else layer.activation(outputs)


# TensorFlow's CPU kernel gives wrong numbers, or crashes, for a product of shapes
# `[N, 1, T, K]` and `[K, L]`, which vectorization creates from sequences.
_SAFE_CALLS = (
    {keras.layers.Dense: _flat_dense} if _compat.dense_uses_batched_products() else {}
)


def _check_unrolled(network: keras.Model) -> None:
    looped = [
        layer.name
        for layer in _compat.flatten_layers(network)
        if isinstance(layer, keras.layers.RNN) and not layer.unroll
    ]
    if looped:
        raise ValueError(
            "Invalid value for argument `gradient`. `AdaLoss(gradient='parameters')` "
            "requires recurrent layers to have `unroll=True`. Received: a network with "
            f"layers {looped}, which have `unroll=False`"
        )


def _check_last(
    network: keras.Model, calls: list[tuple[keras.layers.Layer, tf.Tensor, tf.Tensor]]
) -> None:
    weighted = [
        layer
        for layer in _compat.flatten_layers(network)
        if layer.weights and not _compat.flatten_layers(layer)
    ]
    dense = [layer for layer, _, _ in calls]
    # Only Functional and Sequential models list their layers in call order.
    ordered = isinstance(network, keras.Sequential) or hasattr(network, "output_names")
    if not dense or (ordered and weighted[-1] is not dense[-1]):
        raise ValueError(
            "Invalid value for argument `gradient`. `AdaLoss(gradient='last_layer')` "
            "requires a `Dense` layer as the last layer with weights; use "
            "`gradient='parameters'`. Received: a network with layers "
            f"{[layer.name for layer in weighted]}"
        )


def _example_means(
    loss: Callable[[Any, Any], tf.Tensor], y_true: Any, y_pred: Any
) -> tf.Tensor:
    """Computes the loss of each example, `[N]`, as the mean over unmasked values."""
    values = loss(y_true, y_pred)
    masks = (
        _compat.keras_mask(values),
        _compat.keras_mask(keras.tree.flatten(y_pred)[0]),
    )
    axes = list(range(1, values.shape.rank))
    return masked_mean(values, combine_masks(values, *masks), axes)


def _squares(tensor: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.square(tensor), axis=-1)


def _statistics(
    squares: tf.Tensor, products: tf.Tensor, mean: list[tf.Tensor] | None
) -> GradientStatistics:
    norms = tf.sqrt(squares)
    if mean is None:
        return GradientStatistics(tf.stop_gradient(norms))
    length = tf.sqrt(tf.add_n([tf.reduce_sum(tf.square(m)) for m in mean]))
    cosines = tf.math.divide_no_nan(products, norms * length)
    return GradientStatistics(tf.stop_gradient(norms), tf.stop_gradient(cosines))
