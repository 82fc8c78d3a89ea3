"""Layers that adaptation needs."""

from keras_metaloss.layers.max_pool_2d import MaxPool2D

__all__ = ["MaxPool2D"]
