"""Predefined learners."""

from keras_metaloss.learners.conv4 import conv4
from keras_metaloss.learners.mlp import mlp
from keras_metaloss.learners.resnet12 import resnet12

__all__ = ["conv4", "mlp", "resnet12"]
