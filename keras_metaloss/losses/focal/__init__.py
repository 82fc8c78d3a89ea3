"""Focal losses: down-weight well-classified examples."""

from keras_metaloss.losses.focal.functions import (
    binary_focal_loss,
    categorical_focal_loss,
    sparse_categorical_focal_loss,
)
from keras_metaloss.losses.focal.losses import (
    BinaryFocalLoss,
    CategoricalFocalLoss,
    SparseCategoricalFocalLoss,
)

__all__ = [
    "BinaryFocalLoss",
    "CategoricalFocalLoss",
    "SparseCategoricalFocalLoss",
    "binary_focal_loss",
    "categorical_focal_loss",
    "sparse_categorical_focal_loss",
]
