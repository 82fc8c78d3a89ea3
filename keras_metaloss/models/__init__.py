"""Keras models with a training step of their own."""

from keras_metaloss.models.joint_model import JointModel
from keras_metaloss.models.meta_model import MetaModel

__all__ = ["JointModel", "MetaModel"]
