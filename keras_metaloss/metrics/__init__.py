"""Keras metrics: mutual information, and confidence intervals over tasks."""

from keras_metaloss.metrics.confidence_interval import ConfidenceInterval
from keras_metaloss.metrics.mutual_information import (
    MutualInformation,
    NormalizedMutualInformation,
)

__all__ = ["MutualInformation", "NormalizedMutualInformation", "ConfidenceInterval"]
