"""Padding and masks of episodes."""

from __future__ import annotations

import numpy as np
import pytest

from tests.helpers.meta_models import conv_model, image_episodes, step_change


def test_padded_and_unpadded_tasks_give_equal_results():
    model = conv_model()
    x, y = image_episodes(tasks=2, support=6, queries=6)
    short = {k: v[:, :3] for k, v in x.items()}
    padded = {
        **x,
        "support_mask": np.arange(6)[None] < [[3], [3]],
        "query_mask": np.arange(6)[None] < [[3], [3]],
    }
    np.testing.assert_allclose(model(padded)[:, :3], model(short), atol=1e-6)
    results = [
        model.evaluate(e, t, verbose=0, return_dict=True)
        for e, t in ((padded, y), (short, y[:, :3]))
    ]
    for name in results[0]:
        assert results[0][name] == pytest.approx(results[1][name], abs=1e-5), name
    np.testing.assert_allclose(
        step_change(conv_model(), (padded, y)),
        step_change(conv_model(), (short, y[:, :3])),
        atol=1e-6,
    )


def test_masked_tasks_of_different_length_have_equal_weight():
    model = conv_model()
    x, y = image_episodes(tasks=2, queries=6)
    mask = np.arange(6)[None] < [[2], [6]]
    one_by_one = [
        model.evaluate(
            {k: v[t : t + 1, : 6 if k != "query_x" else length] for k, v in x.items()},
            y[t : t + 1, :length],
            verbose=0,
            return_dict=True,
        )
        for t, length in ((0, 2), (1, 6))
    ]
    assert one_by_one[0]["accuracy"] != one_by_one[1]["accuracy"]
    together = model.evaluate({**x, "query_mask": mask}, y, verbose=0, return_dict=True)
    for name in ("loss", "accuracy"):
        expected = np.mean([one[name] for one in one_by_one])
        assert together[name] == pytest.approx(expected, rel=1e-5), name
