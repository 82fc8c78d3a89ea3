"""Entropy and mutual information of samples."""

from keras_metaloss.information.samples.discrete import (
    mutual_information_histogram,
    mutual_information_miller_madow,
    mutual_information_plug_in,
)
from keras_metaloss.information.samples.entropy import (
    entropy_gaussian,
    entropy_kozachenko_leonenko,
    entropy_miller_madow,
    entropy_plug_in,
)
from keras_metaloss.information.samples.gaussian import (
    mutual_information_gaussian,
    mutual_information_gaussian_copula,
)
from keras_metaloss.information.samples.kde import entropy_kde, mutual_information_kde
from keras_metaloss.information.samples.ksg import mutual_information_ksg
from keras_metaloss.information.samples.mixed_ksg import mutual_information_mixed_ksg
from keras_metaloss.information.samples.ross import mutual_information_ross
from keras_metaloss.information.samples.sliced import sliced_mutual_information

__all__ = [
    "entropy_gaussian",
    "entropy_kde",
    "entropy_kozachenko_leonenko",
    "entropy_miller_madow",
    "entropy_plug_in",
    "mutual_information_gaussian",
    "mutual_information_gaussian_copula",
    "mutual_information_histogram",
    "mutual_information_kde",
    "mutual_information_ksg",
    "mutual_information_miller_madow",
    "mutual_information_mixed_ksg",
    "mutual_information_plug_in",
    "mutual_information_ross",
    "sliced_mutual_information",
]
