"""Bounds on mutual information from score matrices, and trained critics."""

from keras_metaloss.information.variational import bounds
from keras_metaloss.information.variational.critics import ConcatCritic, SeparableCritic
from keras_metaloss.information.variational.estimator import MutualInformationEstimator

__all__ = ["ConcatCritic", "MutualInformationEstimator", "SeparableCritic", "bounds"]
