"""Retracing of the training step of `MetaModel`."""

from __future__ import annotations

from tests.helpers.meta_models import line_episodes, line_model, repeated_dataset


def test_equal_shapes_are_not_retraced():
    model = line_model()
    traces = []
    original = model.adaptation.adapt

    def adapt(*args, **kwargs):
        traces.append(1)
        return original(*args, **kwargs)

    model.adaptation.adapt = adapt
    model.fit(repeated_dataset(line_episodes(seed=0)), epochs=2, verbose=0)
    count = len(traces)
    model.fit(repeated_dataset(line_episodes(seed=1)), epochs=2, verbose=0)
    assert len(traces) == count
