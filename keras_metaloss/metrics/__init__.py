"""Keras metrics: mutual information, and confidence intervals over tasks."""

from keras_metaloss.metrics.mutual_information import (
    MutualInformation,
    NormalizedMutualInformation,
)
from keras_metaloss.metrics.task_interval import TaskInterval

__all__ = ["MutualInformation", "NormalizedMutualInformation", "TaskInterval"]
