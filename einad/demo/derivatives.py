"""What the demo shows before it trains: each layer's derived VJP, and one gradient against finite differences."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from einad import transforms
from einad.demo.digits import Images
from einad.demo.network import LAYERS, initial, loss
from einad.expression import expr
from einad.testing.problem import directional, pairing, problem_of, random_like


def derivations() -> Iterator[str]:
    """Lines that show each layer in index notation, and what is derived from it."""
    for name, (statement, variables) in LAYERS.items():
        layer = expr(statement)
        yield f"{name}:  {layer}"
        for variable in variables:
            lines = str(layer.vjp(variable)).splitlines()
            yield from [f"    {line}" for line in lines]


def gradient_check(images: Images, hidden: int, seed: int) -> str:
    """The slope of the loss along a random direction of all weights: from the gradient, and as measured."""
    rng = np.random.default_rng(seed)
    weights = initial(hidden, rng)
    problem = problem_of(lambda w: loss(w, images.X, images.T), (weights,))
    direction = random_like(problem.primals, rng)
    gradient = transforms.grad(loss)(weights, images.X, images.T)
    computed = pairing(list(gradient.values()), direction)
    measured, _ = directional(problem, [np.float64(1)], direction)
    error = abs(computed - measured.value) / abs(measured.value)
    return (
        f"slope of the loss along a random direction: {computed:.12g} from the gradient, "
        f"{measured.value:.12g} from finite differences; relative difference {error:.1e}"
    )
