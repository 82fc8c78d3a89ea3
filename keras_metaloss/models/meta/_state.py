"""State that a training step writes back to the learner."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_metaloss.adaptation import Adaptation

__all__ = ["write_state"]


def write_state(adaptation: Adaptation, state: Any) -> None:
    """Assigns statistics averaged over tasks and advances the seeds.

    Args:
        adaptation: Method of adaptation.
        state: Values of `adaptation.state_variables()`, each `[T, ...]`.
    """
    for variable, values in zip(adaptation.state_variables(), state, strict=True):
        variable.assign(_mean_over_replicas(tf.reduce_mean(values, axis=0)))
    for seed in adaptation.seed_variables():
        seed.assign(seed + tf.one_hot(1, 2, dtype=seed.dtype))


def _mean_over_replicas(value: tf.Tensor) -> tf.Tensor:
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return value
    return context.all_reduce(tf.distribute.ReduceOp.MEAN, value)
