"""Keras layers for adaptation methods."""

from keras_metaloss.layers.context_vector import ContextVector
from keras_metaloss.layers.max_pool_2d import MaxPool2D

__all__ = ["ContextVector", "MaxPool2D"]
