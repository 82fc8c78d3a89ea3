"""Table of estimators of samples and of bounds, with one row per function.

Each row has data with known entropy or mutual information.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import keras_metaloss as kml

info = kml.information
bounds = info.bounds

RHO = 0.8
INFORMATION = -np.log(1 - RHO**2) / 2
NORMAL_ENTROPY = np.log(2 * np.pi * np.e) / 2
JOINT = np.array([[0.3, 0.1, 0.0], [0.1, 0.1, 0.4]])
_LOGS = np.log(np.where(JOINT > 0, JOINT, 1))
LABEL_ENTROPY = -np.sum(JOINT.sum(1) * np.log(JOINT.sum(1)))
LABEL_INFORMATION = np.sum(
    JOINT * (_LOGS - np.log(JOINT.sum(1, keepdims=True) * JOINT.sum(0)))
)
BIT = np.log(2)


@dataclasses.dataclass(frozen=True)
class Estimator:
    """An estimator, data and the true value.

    Attributes:
        function: the estimator, which takes the data.
        data: function of a number of samples and a seed that returns the arguments.
        truth: the true value in nats.
        error: largest absolute error for 1000 samples.
        public: the public function, if `function` binds some of its arguments.
    """

    function: Callable[..., Any]
    data: Callable[[int, int], tuple]
    truth: float
    error: float

    @property
    def public(self) -> Callable[..., Any]:
        return getattr(self.function, "func", self.function)


def pairs(size, seed):
    """Returns samples of two correlated normal variables."""
    x, noise = np.random.default_rng(seed).normal(size=(2, size))
    return x, RHO * x + np.sqrt(1 - RHO**2) * noise


def single(size, seed):
    return (pairs(size, seed)[0],)


def labels(size, seed):
    """Returns samples of two dependent categorical variables."""
    cells = np.random.default_rng(seed).choice(6, size, p=JOINT.ravel())
    return cells // 3, cells % 3


def counts(size, seed):
    return (np.bincount(labels(size, seed)[0]).astype("float64"),)


def label_and_value(size, seed):
    """Returns a fair label and a value that determines it: one bit."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, size)
    return label, 2.0 * label + rng.uniform(size=size)


def mixture(size, seed):
    """Returns a mixture of two distant normal distributions."""
    normal = tfp.distributions.Normal(np.array([-20.0, 20.0]), np.array([1.0, 1.0]))
    weights = tfp.distributions.Categorical(probs=np.array([0.5, 0.5]))
    return (tfp.distributions.MixtureSameFamily(weights, normal),)


def conditionals(size, seed):
    """Returns `log p(y_i|x_j)` of two correlated normal variables."""
    x, y = pairs(size, seed)
    variance = 1 - RHO**2
    residual = y[:, np.newaxis] - RHO * x
    return (-(residual**2) / variance / 2 - np.log(2 * np.pi * variance) / 2,)


def marginals(size, seed):
    """Returns `log p(y_i)`."""
    _, y = pairs(size, seed)
    return -(y**2) / 2 - np.log(2 * np.pi) / 2


def ratios(size, seed):
    """Returns the optimal scores, `log p(y_i|x_j) - log p(y_i)`."""
    (conditional,) = conditionals(size, seed)
    return (conditional - marginals(size, seed)[:, np.newaxis],)


def shifted_ratios(size, seed):
    """Returns the optimal scores of the bound of Nguyen, Wainwright and Jordan."""
    return (1 + ratios(size, seed)[0],)


def joint_conditionals(size, seed):
    """Returns `log p(y_i|x_i)`."""
    return (np.diag(*conditionals(size, seed)),)


def conditionals_and_marginals(size, seed):
    return *joint_conditionals(size, seed), marginals(size, seed)


def ratios_and_average(size, seed):
    return *ratios(size, seed), tf.Variable(-np.inf, dtype=tf.float64)


def jensen_shannon():
    """Computes `-E_p(x,y) softplus(-r) - E_p(x)p(y) softplus(r)` by quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    weights = np.outer(weights, weights) / (2 * np.pi)
    x, z = np.meshgrid(nodes, nodes, indexing="ij")

    def ratio(y):
        variance = 1 - RHO**2
        return (y**2 - (y - RHO * x) ** 2 / variance - np.log(variance)) / 2

    joint = np.logaddexp(0, -ratio(RHO * x + np.sqrt(1 - RHO**2) * z))
    return -np.sum(weights * (joint + np.logaddexp(0, ratio(z))))


def sample(function, data=pairs, truth=INFORMATION, error=0.09):
    return Estimator(function, data, truth, error)


bound = functools.partial(sample, data=ratios)

ESTIMATORS = {
    "mutual_information_gaussian": sample(info.mutual_information_gaussian),
    "mutual_information_gaussian_copula": sample(
        info.mutual_information_gaussian_copula
    ),
    "mutual_information_histogram": sample(
        functools.partial(info.mutual_information_histogram, num_bins=12)
    ),
    "mutual_information_kde": sample(info.mutual_information_kde),
    "mutual_information_ksg": sample(info.mutual_information_ksg),
    "mutual_information_mixed_ksg": sample(info.mutual_information_mixed_ksg),
    "sliced_mutual_information": sample(
        functools.partial(info.sliced_mutual_information, num_projections=4)
    ),
    "mutual_information_plug_in": sample(
        info.mutual_information_plug_in, labels, LABEL_INFORMATION
    ),
    "mutual_information_miller_madow": sample(
        info.mutual_information_miller_madow, labels, LABEL_INFORMATION
    ),
    "mutual_information_ross": sample(
        info.mutual_information_ross, label_and_value, BIT
    ),
    "entropy_gaussian": sample(info.entropy_gaussian, single, NORMAL_ENTROPY),
    "entropy_kde": sample(info.entropy_kde, single, NORMAL_ENTROPY),
    "entropy_kozachenko_leonenko": sample(
        info.entropy_kozachenko_leonenko, single, NORMAL_ENTROPY
    ),
    "entropy_plug_in": sample(info.entropy_plug_in, counts, LABEL_ENTROPY),
    "entropy_miller_madow": sample(info.entropy_miller_madow, counts, LABEL_ENTROPY),
    "entropy_mixture": sample(info.entropy_mixture, mixture, NORMAL_ENTROPY + BIT),
    "lower_bound_barber_agakov": sample(
        functools.partial(bounds.lower_bound_barber_agakov, entropy=NORMAL_ENTROPY),
        joint_conditionals,
    ),
    "lower_bound_info_nce": bound(bounds.lower_bound_info_nce),
    "lower_bound_jensen_shannon": bound(
        bounds.lower_bound_jensen_shannon, truth=jensen_shannon()
    ),
    "lower_bound_nguyen_wainwright_jordan": sample(
        bounds.lower_bound_nguyen_wainwright_jordan, shifted_ratios
    ),
    "tuba": bound(bounds.tuba),
    "interpolated": bound(functools.partial(bounds.interpolated, alpha=0.9)),
    "donsker_varadhan": bound(bounds.donsker_varadhan),
    "mine": sample(bounds.mine, ratios_and_average),
    "smile": bound(bounds.smile),
    "leave_one_out_upper_bound": bound(bounds.leave_one_out_upper_bound),
    # The sum of both Kullback-Leibler divergences.
    "club": bound(bounds.club, truth=RHO**2 / (1 - RHO**2), error=0.2),
    "difference_of_entropies": sample(
        bounds.difference_of_entropies, conditionals_and_marginals
    ),
}
