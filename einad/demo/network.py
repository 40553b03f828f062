"""The classifier: plain NumPy functions of a dict of weights, and the same layers in index notation."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from einad import transforms
from einad.demo.digits import CLASSES
from einad.ir.expr import Array

PIXELS = 64
Weights = dict[str, Array]

# Each layer with the tensors whose cotangents it must deliver.
LAYERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "dense": ("Z[n,o] = X[n,i] * W[i,o] + b[o]", ("X", "W", "b")),
    "tanh": ("H[n,o] = tanh(Z[n,o])", ("Z",)),
    "softmax cross-entropy": ("loss = sum[n](log(sum[o](exp(Z[n,o])))) - T[n,o] * Z[n,o]", ("Z",)),
}


def initial(hidden: int, rng: np.random.Generator) -> Weights:
    """Random weights ``W[i,o]`` of variance 1/i, and zero biases ``b[o]``, of two hidden layers and an output layer."""
    widths = (PIXELS, hidden, hidden, CLASSES)
    weights: Weights = {}
    for k, (i, o) in enumerate(pairwise(widths), start=1):
        weights[f"W{k}"] = rng.standard_normal((i, o)) / np.sqrt(i)
        weights[f"b{k}"] = np.zeros(o)
    return weights


def dense(X: Any, W: Any, b: Any) -> Any:
    """``Z[n,o] = X[n,i] W[i,o] + b[o]``."""
    return np.einsum("ni,io->no", X, W) + b


def logits(weights: Any, X: Any) -> Any:
    """The scores of the ten digits for each image, ``Z[n,o]``."""
    H = np.tanh(dense(X, weights["W1"], weights["b1"]))
    H = np.tanh(dense(H, weights["W2"], weights["b2"]))
    return dense(H, weights["W3"], weights["b3"])


def loss(weights: Any, X: Any, T: Any) -> Any:
    """The mean cross-entropy between the softmax of the scores and the one-hot digits ``T[n,o]``.

    The largest score is taken out of the exponential, so that it cannot overflow; the value does not depend on it.
    """
    Z = logits(weights, X)
    Z = Z - transforms.stop_gradient(np.max(Z, axis=1, keepdims=True))
    return np.mean(np.log(np.sum(np.exp(Z), axis=1)) - np.einsum("no,no->n", T, Z))


def accuracy(weights: Weights, X: Array, T: Array) -> float:
    """The share of images whose digit gets the highest score."""
    return float(np.mean(np.argmax(logits(weights, X), axis=1) == np.argmax(T, axis=1)))
