"""Confidence intervals of metrics over tasks."""

from __future__ import annotations

import numpy as np
import pytest

from tests.helpers.meta_models import (
    conv_model,
    image_episodes,
    line_episodes,
    line_model,
    repeated_dataset,
)


def test_evaluate_reports_confidence_intervals_over_tasks():
    model = conv_model()
    x, y = image_episodes(tasks=8)
    logits = model.predict(x, verbose=0)
    hits = (logits.argmax(-1) == y).mean(axis=1)
    results = model.evaluate(x, y, batch_size=3, verbose=0, return_dict=True)
    assert results["accuracy"] == pytest.approx(hits.mean(), abs=1e-6)
    expected = 1.96 * hits.std(ddof=1) / np.sqrt(8)
    assert results["accuracy_ci95"] == pytest.approx(expected, rel=1e-5)


def test_fit_reports_intervals_only_for_validation():
    model = line_model()
    data = repeated_dataset(line_episodes())
    history = model.fit(data, validation_data=data, epochs=2, verbose=0).history
    assert set(history) == {"loss", "mae", "val_loss", "val_mae", "val_mae_ci95"}
