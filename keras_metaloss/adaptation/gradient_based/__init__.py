"""Methods that take gradient steps on the support set."""

from keras_metaloss.adaptation.gradient_based.anil import ANIL
from keras_metaloss.adaptation.gradient_based.cavia import CAVIA
from keras_metaloss.adaptation.gradient_based.gradient_adaptation import (
    GradientAdaptation,
)
from keras_metaloss.adaptation.gradient_based.implicit_maml import ImplicitMAML
from keras_metaloss.adaptation.gradient_based.maml import MAML
from keras_metaloss.adaptation.gradient_based.maml_plus_plus import MAMLPlusPlus
from keras_metaloss.adaptation.gradient_based.meta_sgd import MetaSGD
from keras_metaloss.adaptation.gradient_based.reptile import Reptile

__all__ = [
    "ANIL",
    "CAVIA",
    "GradientAdaptation",
    "ImplicitMAML",
    "MAML",
    "MAMLPlusPlus",
    "MetaSGD",
    "Reptile",
]
