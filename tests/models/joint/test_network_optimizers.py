"""One optimizer per network of a `JointModel`."""

from __future__ import annotations

from tests.helpers.joint_models import (
    KINDS,
    OPTIMIZERS,
    assert_equal_arrays,
    data,
    joint_model,
    network,
    weight_values,
)


def test_optimizer_per_network_matches_separate_training():
    x, y = data("logits", "value")
    model = joint_model(optimizer=OPTIMIZERS["each"](), beta=0)
    model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    for name, (kind, seed) in {"a": ("logits", 0), "b": ("value", 10)}.items():
        single = network(KINDS[kind][0], seed=seed)
        single.compile(optimizer=OPTIMIZERS["each"]()[name], loss=KINDS[kind][1])
        single.fit(x, y[name], batch_size=8, epochs=2, shuffle=False, verbose=0)
        assert_equal_arrays(
            weight_values(model.networks[name]), weight_values(single), atol=1e-6
        )
    model.optimizer.learning_rate = 0.5
    for optimizer in model.optimizer.optimizers.values():
        assert float(optimizer.learning_rate) == 0.5
    assert int(model.optimizer.iterations) == 6
