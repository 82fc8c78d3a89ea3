"""Tables of estimators from samples, and samples for them."""

from __future__ import annotations

import numpy as np

import keras_metaloss as kml

info = kml.information


NEIGHBORS = {
    "ksg": info.mutual_information_ksg,
    "ksg 2": lambda x, y, *a, **k: info.mutual_information_ksg(
        x, y, *a, variant=2, **k
    ),
    "mixed_ksg": info.mutual_information_mixed_ksg,
}


PAIRS = NEIGHBORS | {
    "gaussian": info.mutual_information_gaussian,
    "gaussian_copula": info.mutual_information_gaussian_copula,
    "histogram": info.mutual_information_histogram,
    "kde": info.mutual_information_kde,
    "sliced": lambda x, y, **k: info.sliced_mutual_information(x, y, 4, **k),
}


SINGLES = {
    "gaussian": info.entropy_gaussian,
    "kde": info.entropy_kde,
    "kozachenko_leonenko": info.entropy_kozachenko_leonenko,
}


RNG = np.random.default_rng(0)


X, Y = RNG.normal(size=(2, 300))


LABELS = RNG.integers(0, 3, size=300)


def spoiled(value):
    x = X.copy()
    x[7] = value
    return x
