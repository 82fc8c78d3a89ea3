"""Ready networks of one task."""

from keras_metaloss.learners.conv4 import conv4
from keras_metaloss.learners.mlp import mlp

__all__ = ["conv4", "mlp"]
