"""Minibatches, Adam and the record of a training run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from einad import transforms
from einad.demo.digits import Images
from einad.demo.network import Weights, accuracy, initial, loss

RATE, DECAY, DECAY_OF_SQUARES, TINY = 3e-3, 0.9, 0.999, 1e-8


class Epoch(NamedTuple):
    """What is known after an epoch: mean loss over its minibatches, and the accuracy on the held-out images."""

    number: int
    loss: float
    accuracy: float


class Adam:
    """Adam (Kingma and Ba, 2015): steps along the running mean of the gradient over the root of that of its square."""

    def __init__(self, weights: Weights) -> None:
        self.count = 0
        self.mean = {name: np.zeros_like(w) for name, w in weights.items()}
        self.square = {name: np.zeros_like(w) for name, w in weights.items()}

    def step(self, weights: Weights, gradient: Weights) -> Weights:
        """The weights after one step; the old ones are left as they are."""
        self.count += 1
        return {name: w - RATE * self._direction(name, gradient[name]) for name, w in weights.items()}

    def _direction(self, name: str, gradient: np.ndarray) -> np.ndarray:
        self.mean[name] = DECAY * self.mean[name] + (1 - DECAY) * gradient
        self.square[name] = DECAY_OF_SQUARES * self.square[name] + (1 - DECAY_OF_SQUARES) * gradient**2
        mean = self.mean[name] / (1 - DECAY**self.count)
        square = self.square[name] / (1 - DECAY_OF_SQUARES**self.count)
        return np.asarray(mean / (np.sqrt(square) + TINY))


def minibatches(images: Images, size: int, rng: np.random.Generator) -> Iterator[Images]:
    """All images in random order, in batches of equal size; what does not fill a batch waits for the next epoch."""
    order = rng.permutation(len(images.X))
    for start in range(0, len(order) - size + 1, size):
        chosen = order[start : start + size]
        yield Images(images.X[chosen], images.T[chosen])


def train(training: Images, held_out: Images, epochs: int, batch: int, hidden: int, seed: int) -> Iterator[Epoch]:
    """Train a classifier; yields what is known after each epoch."""
    rng = np.random.default_rng(seed)
    weights = initial(hidden, rng)
    optimiser = Adam(weights)
    value_and_gradient = transforms.jit(transforms.value_and_grad(loss))
    for number in range(1, epochs + 1):
        losses = []
        for X, T in minibatches(training, batch, rng):
            value, gradient = value_and_gradient(weights, X, T)
            weights = optimiser.step(weights, gradient)
            losses.append(float(value))
        yield Epoch(number, float(np.mean(losses)), accuracy(weights, *held_out))
