"""Keras metrics over tasks, and of what predictions tell about targets."""

from keras_metaloss.metrics.mutual_information import (
    MutualInformation,
    NormalizedMutualInformation,
)
from keras_metaloss.metrics.task_interval import TaskInterval

__all__ = ["MutualInformation", "NormalizedMutualInformation", "TaskInterval"]
