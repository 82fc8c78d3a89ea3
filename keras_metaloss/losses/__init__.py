"""Keras losses that compare tasks, weight examples, or have trained parameters."""

from keras_metaloss.losses import weighting
from keras_metaloss.losses._core.loss_context import LossContext
from keras_metaloss.losses._core.meta_loss import MetaLoss
from keras_metaloss.losses._core.trainable_loss import TrainableLoss
from keras_metaloss.losses.ada import AdaLoss, ada_loss
from keras_metaloss.losses.cross_task import (
    InterTaskLoss,
    RapidGeneralizationLoss,
    TaskLossVariance,
    TaskSimilarityLoss,
)
from keras_metaloss.losses.embedding import (
    ContrastiveLoss,
    MultiSimilarityLoss,
    NPairLoss,
    TripletLoss,
    contrastive_loss,
    multi_similarity_loss,
    n_pair_loss,
    triplet_loss,
)
from keras_metaloss.losses.focal import (
    BinaryFocalLoss,
    CategoricalFocalLoss,
    SparseCategoricalFocalLoss,
    binary_focal_loss,
    categorical_focal_loss,
    sparse_categorical_focal_loss,
)
from keras_metaloss.losses.joint import MutualInformationLoss, NegativeLogLikelihood
from keras_metaloss.losses.one_vs_rest import OneVsRest
from keras_metaloss.losses.robust import (
    AdaptiveRobustLoss,
    general_robust_loss,
    robust_negative_log_likelihood,
)

__all__ = [
    "AdaLoss",
    "AdaptiveRobustLoss",
    "BinaryFocalLoss",
    "CategoricalFocalLoss",
    "ContrastiveLoss",
    "InterTaskLoss",
    "LossContext",
    "MetaLoss",
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
