"""Keras models with custom training steps."""

from keras_metaloss.models.adaptive_loss import AdaptiveLossModel, TrainableLossMixin
from keras_metaloss.models.joint import JointModel
from keras_metaloss.models.meta import MetaModel
from keras_metaloss.models.multi_task import MultiTaskModel

__all__ = [
    "AdaptiveLossModel",
    "JointModel",
    "MetaModel",
    "MultiTaskModel",
    "TrainableLossMixin",
]
