"""Losses that weight each example by the gradient of its loss."""

from keras_metaloss.losses.ada.ada_loss import AdaLoss, ada_loss

__all__ = ["AdaLoss", "ada_loss"]
