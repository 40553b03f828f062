"""Full Jacobians and Hessians of Python functions, n-D by n-D."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, wraps
from importlib import import_module
from typing import Any

from einad import pipeline
from einad.containers import unflatten
from einad.diff import jacobian as diff
from einad.errors import ConcretizationError, DerivativeError
from einad.ir.expr import Node, Shape
from einad.pipeline import Derived
from einad.transforms.derivatives import Argnums, Variables
from einad.transforms.tracing import Run

Candidates = dict[str, Callable[[], Sequence[Node]]]


def jacobian(f: Callable[..., Any], argnums: Argnums = 0, factored: bool = False) -> Callable[..., Any]:
    """The Jacobian ``J[out.., in..] = ∂out/∂in``, of shape ``out.shape + in.shape``.

    The sweep is seeded with Kronecker deltas and carried as an expression: nothing is flattened and no identity is
    stored. For containers the result has the container of the output, holding that of the argument(s).
    A function from complex to complex numbers must be holomorphic. With ``factored`` each block is a
    `FactoredTensor`: a sum of products, deltas included, that is formed only on request.

    Examples
    --------
    >>> import numpy as np
    >>> J = jacobian(lambda X: X.T)(np.ones((2, 3)))
    >>> J.shape, float(J[2, 1, 1, 2]), float(J.sum())
    ((3, 2, 2, 3), 1.0, 6.0)
    """

    @wraps(f)
    def full(*args: Any, **kwargs: Any) -> Any:
        with Run(f, "jacobian") as run:
            variables = Variables(run, args, argnums)
            nodes, structure = run.nodes(run.call(variables.args, kwargs))
            _check_floats(nodes, "jacobian")
            shapes = [(output.shape, x.shape) for output in nodes for x in variables.inputs]
            values = _evaluate(run, nodes, variables, _firsts, shapes if factored else None, "J")
        return unflatten(structure, _grouped(values, variables))

    return full


def hessian(f: Callable[..., Any], argnums: Argnums = 0, factored: bool = False) -> Callable[..., Any]:
    """The Hessian, of shape ``in.shape + in.shape``, the Jacobian of the gradient.

    For a function whose result is not a scalar the shape is ``out.shape + in.shape + in.shape``. A tuple of
    ``argnums`` gives nested tuples, ``H[i][j] = ∂²f/∂x_i∂x_j``. With ``factored`` each block is a `FactoredTensor`.

    Examples
    --------
    >>> import numpy as np
    >>> hessian(lambda x: x[0] ** 2 * x[1])(np.array([3.0, 5.0]))
    array([[10.,  6.],
           [ 6.,  0.]])
    """

    @wraps(f)
    def full(*args: Any, **kwargs: Any) -> Any:
        with Run(f, "hessian") as run:
            variables = Variables(run, args, argnums)
            nodes, structure = run.nodes(run.call(variables.args, kwargs))
            _check_floats(nodes, "hessian")
            pairs = [(x.shape, y.shape) for x in variables.inputs for y in variables.inputs]
            shapes = [(output.shape + row, column) for output in nodes for row, column in pairs]
            values = _evaluate(run, nodes, variables, _seconds, shapes if factored else None, "H")
        rows = _grouped(values, variables)
        return unflatten(structure, _grouped(rows, variables))

    return full


def _firsts(outputs: Sequence[Node], variables: Sequence[Node]) -> Candidates:
    """Reverse and forward mode."""

    def derive(mode: diff.Mode) -> list[Node]:
        return [block for output in outputs for block in diff.jacobian(output, variables, mode)]

    modes = dict.fromkeys(mode for output in outputs for mode in diff.modes(output, variables))
    return {mode: partial(derive, mode) for mode in modes}


def _seconds(outputs: Sequence[Node], variables: Sequence[Node]) -> Candidates:
    """Every second mode over every first mode."""

    def derive(second: diff.Mode, first: diff.Mode) -> list[Node]:
        firsts = [block for output in outputs for block in diff.jacobian(output, variables, first)]
        return [block for g in firsts for block in diff.jacobian(g, variables, second)]

    firsts = dict.fromkeys(mode for output in outputs for mode in diff.modes(output, variables))
    seconds: tuple[diff.Mode, ...] = ("reverse", "forward")
    return {f"{second} over {first}": partial(derive, second, first) for first in firsts for second in seconds}


def _evaluate(
    run: Run,
    nodes: Sequence[Node],
    variables: Variables,
    candidates: Callable[[Sequence[Node], Sequence[Node]], Candidates],
    shapes: list[tuple[Shape, Shape]] | None,
    name: str,
) -> list[Any]:
    """The derivative's blocks, output by output: as arrays, or as factored tensors of the shapes given."""

    def blocks() -> list[Node]:
        chosen = pipeline.cheapest(candidates(pipeline.prepare(nodes), variables.inputs))
        run.trace.notes.append(f"{run.purpose}: {chosen.note}")
        return chosen.roots

    if shapes is None:
        return run.derive(None, nodes, variables.inputs, blocks)
    if run.is_nested(nodes):
        raise ConcretizationError(
            f"ea.{run.purpose} with factored=True gives values, so it cannot stand inside ea.jit, ea.vmap or another "
            "derivative; leave out factored=True there"
        )

    x = variables.inputs
    tag = (run.purpose, "factored", *[v.name for v in x])
    assemble = import_module("einad.factored.build").assemble  # loaded when first needed
    take_apart = import_module("einad.factored.terms").take_apart
    values, recipe = pipeline.evaluate_derived(tag, nodes, x, lambda: Derived(*take_apart(blocks())), run.arrays)
    return list(assemble(recipe, values, shapes, name))


def _grouped(values: list[Any], variables: Variables) -> list[Any]:
    """Consecutive runs of values, one per leaf of the variables, each put into the variables' container."""
    count = len(variables.inputs)
    if not count:
        return []
    return [unflatten(variables.structure, values[i : i + count]) for i in range(0, len(values), count)]


def _check_floats(nodes: list[Node], purpose: str) -> None:
    for node in nodes:
        if node.dtype.kind not in "fc":
            raise DerivativeError(f"ea.{purpose} of a result of dtype {node.dtype}: integers have no slope")
