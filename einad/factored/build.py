"""From derivative nodes to factored tensors: the normal form's products, with their operands computed."""

from __future__ import annotations

from collections.abc import Sequence

from einad.factored.tensor import FactoredTensor
from einad.factored.terms import Recipe
from einad.ir.expr import Array, Shape


def assemble(
    recipe: Recipe, values: Sequence[Array], shapes: Sequence[tuple[Shape, Shape]], name: str
) -> list[FactoredTensor]:
    """One `FactoredTensor` of the given (output, input) shapes per root, over the values of the recipe's operands."""
    rows = zip(recipe.rows, recipe.dtypes, shapes, strict=True)
    return [FactoredTensor(recipe.terms(row, values), *shape, dtype, name) for row, dtype, shape in rows]
