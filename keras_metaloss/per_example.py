"""Losses of Keras whose value for an example depends on that example alone."""

from __future__ import annotations

import keras

__all__ = ["CLASS_OF_FUNCTION", "LOSSES_PER_EXAMPLE"]

#: Each as a function, and as the class that computes the same.
CLASS_OF_FUNCTION = {
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

# Others (Circle, Dice over a batch, a user's own) may look across the batch.
LOSSES_PER_EXAMPLE = tuple(CLASS_OF_FUNCTION.values())
