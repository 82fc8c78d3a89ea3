"""Keras models with custom training steps."""

from keras_metaloss.models.adaptive_loss_model import AdaptiveLossModel
from keras_metaloss.models.joint_model import JointModel
from keras_metaloss.models.loss_parameters import LossParameters
from keras_metaloss.models.meta_model import MetaModel
from keras_metaloss.models.multi_task_model import MultiTaskModel

__all__ = [
    "AdaptiveLossModel",
    "JointModel",
    "LossParameters",
    "MetaModel",
    "MultiTaskModel",
]
