"""Conversion of indexed batches to a `tf.data.Dataset`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

__all__ = ["batches_dataset"]

# Sampling is much cheaper than a training step. More threads would only take CPU time
# from the training step.
_PARALLEL_BATCHES = 2
_PREFETCHED_BATCHES = 4


def batches_dataset(
    batch: Callable[[int], Any], batches: int | None, first_batch: int
) -> tf.data.Dataset:
    """Returns a dataset whose element `i` is `batch(first_batch + i)`.

    Args:
        batch: Function from the index of a batch to a structure of arrays, always of
            the same shapes.
        batches: Number of batches; `None` for an infinite dataset.
        first_batch: Index of the first batch.

    Returns:
        A `tf.data.Dataset` with static shapes and deterministic order.
    """
    example = batch(first_batch)
    flat = keras.tree.flatten(example)
    dtypes = [tf.as_dtype(array.dtype) for array in flat]

    def read(index: tf.Tensor) -> Any:
        arrays = tf.numpy_function(
            lambda i: keras.tree.flatten(batch(int(i))), [index], dtypes
        )
        for tensor, array in zip(arrays, flat, strict=True):
            tensor.set_shape(array.shape)
        return keras.tree.pack_sequence_as(example, arrays)

    numbers = tf.data.Dataset.counter(first_batch)
    if batches is not None:
        numbers = numbers.take(batches)
    dataset = numbers.map(
        read, num_parallel_calls=_PARALLEL_BATCHES, deterministic=True
    ).prefetch(_PREFETCHED_BATCHES)
    options = tf.data.Options()
    # The parallelism is fixed, and autotuning would delay the end of `fit` by seconds.
    options.autotune.enabled = False
    return dataset.with_options(options)
