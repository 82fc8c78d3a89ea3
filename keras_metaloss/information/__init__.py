"""Entropy and mutual information of samples and of distributions, in nats."""

from keras_metaloss.information.bounds import (
    club,
    difference_of_entropies,
    donsker_varadhan,
    interpolated,
    leave_one_out_upper_bound,
    lower_bound_barber_agakov,
    lower_bound_info_nce,
    lower_bound_jensen_shannon,
    lower_bound_nguyen_wainwright_jordan,
    mine,
    smile,
    tuba,
)
from keras_metaloss.information.critics import (
    ConcatCritic,
    SeparableCritic,
)
from keras_metaloss.information.discrete import (
    mutual_information_histogram,
    mutual_information_miller_madow,
    mutual_information_plug_in,
)
from keras_metaloss.information.entropy import (
    entropy_gaussian,
    entropy_kozachenko_leonenko,
    entropy_miller_madow,
    entropy_plug_in,
)
from keras_metaloss.information.estimator import MutualInformationEstimator
from keras_metaloss.information.gaussian import (
    mutual_information_gaussian,
    mutual_information_gaussian_copula,
)
from keras_metaloss.information.kde import (
    entropy_kde,
    mutual_information_kde,
)
from keras_metaloss.information.ksg import mutual_information_ksg
from keras_metaloss.information.mixed_ksg import mutual_information_mixed_ksg
from keras_metaloss.information.mixture_entropy import entropy_mixture
from keras_metaloss.information.predicted import (
    InformationBounds,
    InformationTerms,
    JointDensity,
    joint_density,
    mutual_information,
    mutual_information_bounds,
    mutual_information_terms,
)
from keras_metaloss.information.ross import mutual_information_ross
from keras_metaloss.information.sliced import sliced_mutual_information

__all__ = [
    "ConcatCritic",
    "InformationBounds",
    "InformationTerms",
    "JointDensity",
    "MutualInformationEstimator",
    "SeparableCritic",
    "club",
    "difference_of_entropies",
    "donsker_varadhan",
    "entropy_gaussian",
    "entropy_kde",
    "entropy_kozachenko_leonenko",
    "entropy_miller_madow",
    "entropy_mixture",
    "entropy_plug_in",
    "interpolated",
    "joint_density",
    "leave_one_out_upper_bound",
    "lower_bound_barber_agakov",
    "lower_bound_info_nce",
    "lower_bound_jensen_shannon",
    "lower_bound_nguyen_wainwright_jordan",
    "mine",
    "mutual_information",
    "mutual_information_bounds",
    "mutual_information_gaussian",
    "mutual_information_gaussian_copula",
    "mutual_information_histogram",
    "mutual_information_kde",
    "mutual_information_ksg",
    "mutual_information_miller_madow",
    "mutual_information_mixed_ksg",
    "mutual_information_plug_in",
    "mutual_information_ross",
    "mutual_information_terms",
    "sliced_mutual_information",
    "smile",
    "tuba",
]
