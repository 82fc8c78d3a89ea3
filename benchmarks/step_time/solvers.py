"""One outer step in each library. Solvers are functions `inner_steps -> step`."""

from __future__ import annotations

import os
from collections.abc import Callable

import problem

Step = Callable[[], float]


def keras_metaloss(inner_steps: int) -> Step:
    """Solver of this library, with `train_on_batch`."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras
    import tensorflow as tf

    import keras_metaloss as kml

    tf.config.threading.set_intra_op_parallelism_threads(1)
    learner = kml.learners.conv4((28, 28, 1), problem.WAYS, filters=problem.FILTERS)
    for variable, value in zip(
        learner.trainable_variables, problem.weights(), strict=True
    ):
        variable.assign(value)
    model = kml.MetaModel(
        learner,
        kml.adaptation.MAML(inner_steps, problem.INNER_RATE, normalization="batch"),
    )
    model.compile(
        optimizer=keras.optimizers.Adam(problem.OUTER_RATE),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    x = {name: tf.constant(value) for name, value in problem.episodes().items()}
    y = x.pop("query_y")
    return lambda: float(model.train_on_batch(x, y))


def torchopt(inner_steps: int) -> Step:
    """Solver with TorchOpt's differentiable SGD, one task at a time."""
    import torch
    import torchopt

    torch.set_num_threads(2)
    network = _torch_network(torch)
    outer = torch.optim.Adam(network.parameters(), lr=problem.OUTER_RATE)
    inner = torchopt.MetaSGD(network, lr=problem.INNER_RATE)
    batch = _torch_batch(torch)
    cross_entropy = torch.nn.functional.cross_entropy

    def step():
        outer.zero_grad()
        network_state = torchopt.extract_state_dict(network)
        inner_state = torchopt.extract_state_dict(inner)
        total = 0.0
        for sx, sy, qx, qy in zip(*batch, strict=True):
            for _ in range(inner_steps):
                inner.step(cross_entropy(network(sx), sy))
            loss = cross_entropy(network(qx), qy) / problem.TASKS
            loss.backward()
            total += loss.item()
            torchopt.recover_state_dict(network, network_state)
            torchopt.recover_state_dict(inner, inner_state)
        outer.step()
        return total

    return step


def torch_loop(inner_steps: int) -> Step:
    """Solver in PyTorch: `autograd.grad(create_graph=True)`, one task at a time."""
    import torch
    from torch.func import functional_call

    torch.set_num_threads(2)
    network = _torch_network(torch)
    outer = torch.optim.Adam(network.parameters(), lr=problem.OUTER_RATE)
    batch = _torch_batch(torch)
    cross_entropy = torch.nn.functional.cross_entropy

    def step():
        outer.zero_grad()
        total = 0.0
        for sx, sy, qx, qy in zip(*batch, strict=True):
            weights = dict(network.named_parameters())
            for _ in range(inner_steps):
                loss = cross_entropy(functional_call(network, weights, (sx,)), sy)
                gradients = torch.autograd.grad(
                    loss, list(weights.values()), create_graph=True
                )
                weights = {
                    name: weight - problem.INNER_RATE * gradient
                    for (name, weight), gradient in zip(
                        weights.items(), gradients, strict=True
                    )
                }
            loss = cross_entropy(functional_call(network, weights, (qx,)), qy)
            (loss / problem.TASKS).backward()
            total += loss.item() / problem.TASKS
        outer.step()
        return total

    return step


def torch_func(inner_steps: int) -> Step:
    """Solver with `torch.func`: `vmap` of functional gradient steps over tasks."""
    import torch
    from torch.func import functional_call, grad, vmap

    torch.set_num_threads(2)
    network = _torch_network(torch)
    names = [name for name, _ in network.named_parameters()]
    outer = torch.optim.Adam(network.parameters(), lr=problem.OUTER_RATE)
    batch = _torch_batch(torch)
    cross_entropy = torch.nn.functional.cross_entropy

    def loss(weights, x, y):
        return cross_entropy(functional_call(network, weights, (x,)), y)

    def task_loss(weights, sx, sy, qx, qy):
        for _ in range(inner_steps):
            gradients = grad(loss)(weights, sx, sy)
            weights = {
                name: weights[name] - problem.INNER_RATE * gradients[name]
                for name in names
            }
        return loss(weights, qx, qy)

    def step():
        outer.zero_grad()
        weights = dict(network.named_parameters())
        value = vmap(task_loss, in_dims=(None, 0, 0, 0, 0))(weights, *batch).mean()
        value.backward()
        outer.step()
        return value.item()

    return step


def jax(inner_steps: int) -> Step:
    """Solver in JAX: `jit(grad(mean(vmap(...))))`, convolutions as matrix products."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    import jax
    import jax.numpy as jnp

    def convolution(x, kernel):
        out = -(-x.shape[1] // 2)
        padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        patches = [
            padded[:, i : i + 2 * out - 1 : 2, j : j + 2 * out - 1 : 2]
            for i in range(3)
            for j in range(3)
        ]
        patches = jnp.concatenate(patches, axis=-1)
        return patches @ kernel.reshape(-1, kernel.shape[-1])

    def network(weights, x):
        for block in range(problem.BLOCKS):
            kernel, bias, scale, shift = weights[4 * block : 4 * block + 4]
            x = convolution(x, kernel) + bias
            mean = x.mean((0, 1, 2))
            variance = jnp.square(x - mean).mean((0, 1, 2))
            x = (x - mean) * jax.lax.rsqrt(variance + problem.EPSILON) * scale + shift
            x = jax.nn.relu(x)
        return x.mean((1, 2)) @ weights[-2] + weights[-1]

    def loss(weights, x, y):
        scores = jax.nn.log_softmax(network(weights, x))
        return -jnp.take_along_axis(scores, y[:, None], axis=1).mean()

    def task_loss(weights, sx, sy, qx, qy):
        for _ in range(inner_steps):
            gradients = jax.grad(loss)(weights, sx, sy)
            weights = [
                w - problem.INNER_RATE * g
                for w, g in zip(weights, gradients, strict=True)
            ]
        return loss(weights, qx, qy)

    def outer(weights, moments, count, batch):
        def total(weights):
            return jax.vmap(task_loss, in_axes=(None, 0, 0, 0, 0))(
                weights, *batch
            ).mean()

        value, gradients = jax.value_and_grad(total)(weights)
        new, kept = [], []
        for w, g, (m, v) in zip(weights, gradients, moments, strict=True):
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            change = (m / (1 - 0.9**count)) / (jnp.sqrt(v / (1 - 0.999**count)) + 1e-7)
            new.append(w - problem.OUTER_RATE * change)
            kept.append((m, v))
        return value, new, kept

    compiled = jax.jit(outer)
    data = problem.episodes()
    batch = [jnp.asarray(data[k]) for k in ("support_x", "support_y", "query_x")]
    batch.append(jnp.asarray(data["query_y"]))
    weights = [jnp.asarray(w) for w in problem.weights()]
    state = [weights, [(jnp.zeros_like(w),) * 2 for w in weights], 0]

    def step():
        state[2] += 1
        value, state[0], state[1] = compiled(state[0], state[1], float(state[2]), batch)
        return float(value)

    return step


def _torch_network(torch):
    layers, channels = [], 1
    for _ in range(problem.BLOCKS):
        layers += [
            torch.nn.Conv2d(channels, problem.FILTERS, 3, stride=2, padding=1),
            torch.nn.BatchNorm2d(
                problem.FILTERS, eps=problem.EPSILON, track_running_stats=False
            ),
            torch.nn.ReLU(),
        ]
        channels = problem.FILTERS
    layers += [
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(channels, problem.WAYS),
    ]
    network = torch.nn.Sequential(*layers)
    with torch.no_grad():
        for parameter, value in zip(
            network.parameters(), problem.weights(), strict=True
        ):
            if value.ndim == 4:
                value = value.transpose(3, 2, 0, 1)
            parameter.copy_(torch.from_numpy(value.T if value.ndim == 2 else value))
    return network


def _torch_batch(torch):
    data = problem.episodes()
    images = {
        k: torch.from_numpy(data[k]).permute(0, 1, 4, 2, 3).contiguous()
        for k in ("support_x", "query_x")
    }
    labels = {k: torch.from_numpy(data[k]) for k in ("support_y", "query_y")}
    return (
        images["support_x"],
        labels["support_y"],
        images["query_x"],
        labels["query_y"],
    )


SOLVERS = {
    "keras_metaloss": keras_metaloss,
    "torchopt": torchopt,
    "torch_loop": torch_loop,
    "torch_func": torch_func,
    "jax": jax,
}
