"""Keras callbacks."""

from keras_metaloss.callbacks.loss_schedule import LossSchedule

__all__ = ["LossSchedule"]
