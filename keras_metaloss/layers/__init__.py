"""Keras layers for adaptation methods."""

from keras_metaloss.layers.context_vector import ContextVector
from keras_metaloss.layers.twice_differentiable_max_pool_2d import (
    TwiceDifferentiableMaxPool2D,
)

__all__ = ["ContextVector", "TwiceDifferentiableMaxPool2D"]
