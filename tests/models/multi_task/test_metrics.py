"""Logged metrics of `MultiTaskModel`."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import keras_metaloss as kml
from tests.helpers import multi_task_models


@pytest.mark.parametrize("dtype_policy", ["mixed_float16"], indirect=True)
@pytest.mark.usefixtures("dtype_policy")
def test_skipped_steps_do_not_report_nan_weights():
    model = kml.MultiTaskModel(multi_task_models.network(), kml.losses.weighting.IMTL())
    optimizer = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(1e-3), initial_scale=2.0**20
    )
    model.compile(optimizer, multi_task_models.losses())
    x, y = multi_task_models.batch()
    history = model.fit(x, y, batch_size=4, epochs=8, verbose=0).history
    assert 0 < int(optimizer.inner_optimizer.iterations) < 24
    shown = [v for name, v in history.items() if name.endswith("_weight")]
    assert shown and np.isfinite(shown).all()
