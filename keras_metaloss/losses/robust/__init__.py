"""Robust regression losses: limit the influence of outliers."""

from keras_metaloss.losses.robust.functions import general_robust_loss
from keras_metaloss.losses.robust.losses import (
    AdaptiveRobustLoss,
    robust_negative_log_likelihood,
)

__all__ = [
    "AdaptiveRobustLoss",
    "general_robust_loss",
    "robust_negative_log_likelihood",
]
