"""Losses that look across tasks."""

from keras_metaloss.losses import weighting
from keras_metaloss.losses.inter_task import InterTaskLoss
from keras_metaloss.losses.one_vs_rest import OneVsRest
from keras_metaloss.losses.rapid_generalization import RapidGeneralizationLoss
from keras_metaloss.losses.task_loss_variance import TaskLossVariance
from keras_metaloss.losses.task_similarity import TaskSimilarityLoss

__all__ = [
    "InterTaskLoss",
    "OneVsRest",
    "RapidGeneralizationLoss",
    "TaskLossVariance",
    "TaskSimilarityLoss",
    "weighting",
]
