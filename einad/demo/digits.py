"""The handwritten digits that come with the demo; where they are from stands in data/ATTRIBUTION.md."""

from __future__ import annotations

import gzip
from importlib.resources import files
from typing import NamedTuple

import numpy as np

from einad.ir.expr import Array

CLASSES = 10
HELD_OUT = 0.2


class Images(NamedTuple):
    """Images as rows ``X[n,i]`` of 64 pixels between 0 and 1, and their digits as one-hot rows ``T[n,o]``."""

    X: Array
    T: Array


def load() -> Images:
    """All 1,797 images."""
    packed = (files("einad.demo") / "data" / "digits.csv.gz").read_bytes()
    table = np.loadtxt(gzip.decompress(packed).decode().splitlines(), delimiter=",")
    return Images(table[:, :-1] / 16, np.eye(CLASSES)[table[:, -1].astype(int)])


def split(images: Images, seed: int) -> tuple[Images, Images]:
    """A training set and a held-out fifth, drawn at random."""
    order = np.random.default_rng(seed).permutation(len(images.X))
    count = int(HELD_OUT * len(order))
    held_out, training = order[:count], order[count:]
    return Images(*[part[training] for part in images]), Images(*[part[held_out] for part in images])
