"""Methods that adapt a learner to one task."""

from keras_metaloss.adaptation import distances, inner_optimizers
from keras_metaloss.adaptation._core.adaptation import Adaptation
from keras_metaloss.adaptation._core.task import Adapted, Task, TaskResult
from keras_metaloss.adaptation.gradient_based import (
    ANIL,
    CAVIA,
    MAML,
    GradientAdaptation,
    ImplicitMAML,
    MAMLPlusPlus,
    MetaSGD,
    Reptile,
)
from keras_metaloss.adaptation.metric_based import (
    MatchingNetwork,
    MetaOptNet,
    MetricAdaptation,
    PrototypicalNetwork,
    RelationNetwork,
    SiameseNetwork,
)

__all__ = [
    "ANIL",
    "Adaptation",
    "Adapted",
    "CAVIA",
    "GradientAdaptation",
    "ImplicitMAML",
    "MAML",
    "MAMLPlusPlus",
    "MatchingNetwork",
    "MetaOptNet",
    "MetaSGD",
    "MetricAdaptation",
    "PrototypicalNetwork",
    "RelationNetwork",
    "Reptile",
    "SiameseNetwork",
    "Task",
    "TaskResult",
    "distances",
    "inner_optimizers",
]
