"""Derivatives that stay factored: sums of products, Kronecker deltas included."""

from einad.factored.tensor import FactoredTensor

__all__ = ["FactoredTensor"]
