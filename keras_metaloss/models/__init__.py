"""Keras models with a training step of their own."""

from keras_metaloss.models.meta_model import MetaModel
from keras_metaloss.models.multi_task_model import MultiTaskModel

__all__ = ["MetaModel", "MultiTaskModel"]
