"""Weights examples by the gradients of their losses."""

from keras_metaloss.losses.ada.ada_loss import AdaLoss, ada_loss

__all__ = ["AdaLoss", "ada_loss"]
