"""Losses of Keras whose value for an example depends on that example alone."""

from __future__ import annotations

import keras

from keras_metaloss.as_loss import FunctionLoss

__all__ = ["CLASSES", "class_of", "is_per_example"]

#: Each as a function, and as the class of it.
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
    """The class of a loss, that of Keras where it is a function of Keras."""
    if isinstance(loss, FunctionLoss):
        # Not every callable has a hash, as a look into the dictionary needs.
        found = [cls for function, cls in CLASSES.items() if function is loss.function]
        return found[0] if found else FunctionLoss
    return type(loss)


def is_per_example(loss: keras.losses.Loss) -> bool:
    """Whether it is known that a value depends on one example.

    Others (Circle, Dice over a batch, a user's own) may look across the batch.
    """
    return class_of(loss) in CLASSES.values()
