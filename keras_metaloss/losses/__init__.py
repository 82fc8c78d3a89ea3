"""Losses that look across tasks."""

from keras_metaloss.losses.inter_task import InterTaskLoss
from keras_metaloss.losses.mutual_information import MutualInformationLoss
from keras_metaloss.losses.negative_log_likelihood import NegativeLogLikelihood
from keras_metaloss.losses.rapid_generalization import RapidGeneralizationLoss
from keras_metaloss.losses.task_loss_variance import TaskLossVariance
from keras_metaloss.losses.task_similarity import TaskSimilarityLoss

__all__ = [
    "InterTaskLoss",
    "MutualInformationLoss",
    "NegativeLogLikelihood",
    "RapidGeneralizationLoss",
    "TaskLossVariance",
    "TaskSimilarityLoss",
]
