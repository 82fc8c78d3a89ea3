"""Models that train the parameters of their loss."""

from keras_metaloss.models.adaptive_loss.adaptive_loss_model import AdaptiveLossModel
from keras_metaloss.models.adaptive_loss.trainable_loss_mixin import TrainableLossMixin

__all__ = ["AdaptiveLossModel", "TrainableLossMixin"]
