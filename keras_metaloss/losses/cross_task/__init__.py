"""Losses that compare the tasks of a batch."""

from keras_metaloss.losses.cross_task.inter_task_loss import InterTaskLoss
from keras_metaloss.losses.cross_task.rapid_generalization import (
    RapidGeneralizationLoss,
)
from keras_metaloss.losses.cross_task.task_loss_variance import TaskLossVariance
from keras_metaloss.losses.cross_task.task_similarity_loss import TaskSimilarityLoss

__all__ = [
    "InterTaskLoss",
    "RapidGeneralizationLoss",
    "TaskLossVariance",
    "TaskSimilarityLoss",
]
