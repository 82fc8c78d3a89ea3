"""Methods that adapt a learner to one task."""

from keras_metaloss.adaptation import distances, inner_optimizers
from keras_metaloss.adaptation.anil import ANIL
from keras_metaloss.adaptation.base import Adaptation, Adapted, Task
from keras_metaloss.adaptation.cavia import CAVIA
from keras_metaloss.adaptation.gradient import GradientAdaptation
from keras_metaloss.adaptation.implicit_maml import ImplicitMAML
from keras_metaloss.adaptation.maml import MAML
from keras_metaloss.adaptation.maml_plus_plus import MAMLPlusPlus
from keras_metaloss.adaptation.matching import MatchingNetwork
from keras_metaloss.adaptation.meta_opt_net import MetaOptNet
from keras_metaloss.adaptation.meta_sgd import MetaSGD
from keras_metaloss.adaptation.metric import MetricAdaptation
from keras_metaloss.adaptation.prototypes import PrototypicalNetwork
from keras_metaloss.adaptation.relation import RelationNetwork
from keras_metaloss.adaptation.reptile import Reptile
from keras_metaloss.adaptation.siamese import SiameseNetwork

__all__ = [
    "ANIL",
    "CAVIA",
    "MAML",
    "Adaptation",
    "Adapted",
    "GradientAdaptation",
    "ImplicitMAML",
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
    "distances",
    "inner_optimizers",
]
