"""Losses for networks that are trained jointly."""

from keras_metaloss.losses.joint.mutual_information_loss import MutualInformationLoss
from keras_metaloss.losses.joint.negative_log_likelihood import NegativeLogLikelihood

__all__ = ["MutualInformationLoss", "NegativeLogLikelihood"]
