"""Invalid inter-task terms raise."""

from __future__ import annotations

import numpy as np
import pytest

import keras_metaloss as kml
from tests.helpers.cross_task import Y_PRED, Y_TRUE

Loss = kml.losses.RapidGeneralizationLoss
Variance = kml.losses.TaskLossVariance
Similarity = kml.losses.TaskSimilarityLoss


def test_invalid_inter_task_terms():
    with pytest.raises(ValueError, match="`representation`.*'features'"):
        Similarity("features")
    with pytest.raises(ValueError, match="`task_similarity`.*square"):
        Similarity(task_similarity=[[1.0, 2.0]])
    with pytest.raises(ValueError, match="`y_pred`.*task axis.*y_pred.shape=\\(3,\\)"):
        Loss("mse", Variance())(np.zeros(3), np.zeros(3))
    with pytest.raises(ValueError, match="scalar or one value per task"):
        Loss("mse", lambda losses, *_: losses[:, None])(Y_TRUE, Y_PRED)
