"""Losses across tasks, losses that adapt to examples, and trainable losses."""

from keras_metaloss.losses import weighting
from keras_metaloss.losses.ada_loss import AdaLoss, ada_loss
from keras_metaloss.losses.focal import (
    BinaryFocalLoss,
    CategoricalFocalLoss,
    SparseCategoricalFocalLoss,
)
from keras_metaloss.losses.focal_functions import (
    binary_focal_loss,
    categorical_focal_loss,
    sparse_categorical_focal_loss,
)
from keras_metaloss.losses.general_robust_loss import general_robust_loss
from keras_metaloss.losses.inter_task import InterTaskLoss
from keras_metaloss.losses.metric import (
    ContrastiveLoss,
    MultiSimilarityLoss,
    NPairLoss,
    TripletLoss,
    contrastive_loss,
    multi_similarity_loss,
    n_pair_loss,
    triplet_loss,
)
from keras_metaloss.losses.mutual_information import MutualInformationLoss
from keras_metaloss.losses.negative_log_likelihood import NegativeLogLikelihood
from keras_metaloss.losses.one_vs_rest import OneVsRest
from keras_metaloss.losses.rapid_generalization import RapidGeneralizationLoss
from keras_metaloss.losses.robust import (
    AdaptiveRobustLoss,
    robust_negative_log_likelihood,
)
from keras_metaloss.losses.task_loss_variance import TaskLossVariance
from keras_metaloss.losses.task_similarity import TaskSimilarityLoss
from keras_metaloss.losses.trainable_loss import TrainableLoss

__all__ = [
    "AdaLoss",
    "AdaptiveRobustLoss",
    "BinaryFocalLoss",
    "CategoricalFocalLoss",
    "ContrastiveLoss",
    "InterTaskLoss",
    "MultiSimilarityLoss",
    "MutualInformationLoss",
    "NPairLoss",
    "NegativeLogLikelihood",
    "OneVsRest",
    "RapidGeneralizationLoss",
    "SparseCategoricalFocalLoss",
    "TaskLossVariance",
    "TaskSimilarityLoss",
    "TrainableLoss",
    "TripletLoss",
    "ada_loss",
    "binary_focal_loss",
    "categorical_focal_loss",
    "contrastive_loss",
    "general_robust_loss",
    "multi_similarity_loss",
    "n_pair_loss",
    "robust_negative_log_likelihood",
    "sparse_categorical_focal_loss",
    "triplet_loss",
    "weighting",
]
