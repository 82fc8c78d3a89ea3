"""Keras callbacks for losses and models."""

from keras_metaloss.callbacks.joint_distribution_plot import JointDistributionPlot
from keras_metaloss.callbacks.loss_schedule import LossSchedule

__all__ = ["JointDistributionPlot", "LossSchedule"]
