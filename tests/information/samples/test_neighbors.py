"""Nearest neighbors and counts by every search method, compared to SciPy."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from scipy.spatial.distance import cdist

from keras_metaloss.information.samples import _neighbors as search

RNG = np.random.default_rng(0)
SETS = {
    "plane": RNG.normal(size=(300, 2)),
    "six": RNG.normal(size=(300, 6)),
    "line": RNG.normal(size=(300, 1)) * 1e-9 + 1e6,
    "rounded": RNG.normal(size=(300, 1)).round(1),
    "lattice": RNG.integers(0, 4, size=(300, 2)).astype(float),
}
NORMS = {"max": "chebyshev", "euclidean": "euclidean"}


def distances(points, norm="max"):
    table = cdist(points, points, NORMS[norm])
    np.fill_diagonal(table, np.inf)
    return table


def searches(k, norm="max", groups=None):
    yield lambda p: search._nearest_in_trees(p.numpy(), k, norm, groups)
    yield lambda p: search._nearest_in_blocks(p, k, norm, groups)
    yield lambda p: search._compiled_nearest(p, k, norm, groups)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", SETS)
def test_nearest_equals_sorted_distances(name, norm):
    points = SETS[name]
    table = distances(points, norm)
    for k in (3, 7):
        expected = np.sort(table, axis=1)[:, :k]
        for search_nearest in searches(k, norm):
            distance, index = search_nearest(tf.constant(points))
            np.testing.assert_allclose(distance, expected, rtol=1e-14)
            found = np.take_along_axis(table, np.asarray(index), axis=1)
            np.testing.assert_allclose(found, expected, rtol=1e-14)


def test_nearest_within_groups_equals_sorted_distances():
    points, groups = SETS["plane"], np.arange(300) % 7
    groups[0] = 99
    table = distances(points)
    table[groups[:, None] != groups] = np.inf
    expected = np.sort(table, axis=1)[:, :3]
    for search_nearest in searches(3, groups=tf.constant(groups)):
        np.testing.assert_array_equal(search_nearest(tf.constant(points))[0], expected)


@pytest.mark.parametrize("closed", [False, True])
@pytest.mark.parametrize("name", SETS)
def test_counts_are_exact_at_the_radius(name, closed):
    points = SETS[name]
    table = distances(points)
    radius = np.sort(table, axis=1)[:, 3]
    np.fill_diagonal(table, 0)
    within = table <= radius[:, None] if closed else table < radius[:, None]
    for count in (search.count_within, search._count_in_blocks, search._compiled_count):
        counts = count(tf.constant(points), tf.constant(radius), closed)
        np.testing.assert_array_equal(counts, within.sum(axis=1))


def test_counts_are_equal_under_xla():
    points = tf.constant(SETS["line"])
    radius = tf.constant(np.sort(distances(SETS["line"]), axis=1)[:, 3])
    compiled = tf.function(search.count_within, jit_compile=True)
    np.testing.assert_array_equal(
        compiled(points, radius), search.count_within(points, radius)
    )


PROGRAM = """
import resource, sys
import numpy as np, tensorflow as tf
import keras_metaloss as kml
rng = np.random.default_rng(0)
dimensions = int(sys.argv[1])
x = rng.normal(size=(20000, dimensions))
warm = x[:8]
kml.information.mutual_information_ksg(warm, warm + rng.normal(size=warm.shape))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(float(kml.information.mutual_information_ksg(x, x + rng.normal(size=x.shape))))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux")
@pytest.mark.parametrize("dimensions", [1, 3])
def test_ksg_of_20_000_samples_uses_less_than_one_gib(dimensions):
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(dimensions)],
        capture_output=True,
        text=True,
        check=True,
    )
    value, kib = run.stdout.split()
    # A matrix of all distances would take 3 GiB.
    assert int(kib) < 2**20
    assert float(value) == pytest.approx(dimensions * np.log(2) / 2, abs=0.05)
