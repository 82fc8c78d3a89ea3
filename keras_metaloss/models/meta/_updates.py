"""Number of outer steps that an adaptation has taken."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import keras
import tensorflow as tf

from keras_metaloss.adaptation import Adaptation

__all__ = ["counted_updates"]


@contextlib.contextmanager
def counted_updates(
    adaptation: Adaptation, optimizer: keras.optimizers.Optimizer
) -> Iterator[None]:
    """Context in which updates by the optimizer count as outer steps.

    An adaptation that depends on the number of outer steps has a saved counter.
    `compile` restarts the iterations of the optimizer, but not this counter. Steps
    that the optimizer skips, such as those with loss scaling and infinite gradients,
    do not count.

    Args:
        adaptation: Method of adaptation.
        optimizer: The outer optimizer.
    """
    before = tf.identity(optimizer.iterations)
    yield
    updates = tf.convert_to_tensor(optimizer.iterations)
    if adaptation.depends_on_updates:
        taken = tf.convert_to_tensor(adaptation.updates)
        updates = taken + tf.cast(updates - before, taken.dtype)
    adaptation.set_updates(updates)
