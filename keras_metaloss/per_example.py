"""Keras losses whose value for an example depends on that example only."""

from __future__ import annotations

import keras

from keras_metaloss.as_loss import FunctionLoss

__all__ = ["CLASSES", "class_of", "is_per_example"]

#: Maps the function of each loss to its class.
CLASSES = {
    keras.losses.binary_crossentropy: keras.losses.BinaryCrossentropy,
    keras.losses.binary_focal_crossentropy: keras.losses.BinaryFocalCrossentropy,
    keras.losses.categorical_crossentropy: keras.losses.CategoricalCrossentropy,
    keras.losses.categorical_focal_crossentropy: (
        keras.losses.CategoricalFocalCrossentropy
    ),
    keras.losses.categorical_hinge: keras.losses.CategoricalHinge,
    keras.losses.cosine_similarity: keras.losses.CosineSimilarity,
    keras.losses.hinge: keras.losses.Hinge,
    keras.losses.huber: keras.losses.Huber,
    keras.losses.kl_divergence: keras.losses.KLDivergence,
    keras.losses.log_cosh: keras.losses.LogCosh,
    keras.losses.mean_absolute_error: keras.losses.MeanAbsoluteError,
    keras.losses.mean_absolute_percentage_error: (
        keras.losses.MeanAbsolutePercentageError
    ),
    keras.losses.mean_squared_error: keras.losses.MeanSquaredError,
    keras.losses.mean_squared_logarithmic_error: (
        keras.losses.MeanSquaredLogarithmicError
    ),
    keras.losses.poisson: keras.losses.Poisson,
    keras.losses.sparse_categorical_crossentropy: (
        keras.losses.SparseCategoricalCrossentropy
    ),
    keras.losses.squared_hinge: keras.losses.SquaredHinge,
}


def class_of(loss: keras.losses.Loss) -> type:
    """Returns the class of a loss; Keras functions have the class of the same loss."""
    if isinstance(loss, FunctionLoss):
        # Callables may be unhashable, so this compares identities.
        found = [cls for function, cls in CLASSES.items() if function is loss.function]
        return found[0] if found else FunctionLoss
    return type(loss)


def is_per_example(loss: keras.losses.Loss) -> bool:
    """Returns whether the values of a loss are known to depend on one example each.

    Other losses (Circle, Dice, custom losses) may depend on the whole batch.
    """
    return class_of(loss) in CLASSES.values()
