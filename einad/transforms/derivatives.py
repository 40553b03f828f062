"""Derivatives of Python functions: grad, vjp, jvp, jacobian, hessian, hvp; each of any order, in any composition."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from einad import pipeline
from einad.containers import Structure, flatten, unflatten
from einad.diff import sweep
from einad.errors import DerivativeError, ShapeError
from einad.front.trace import Binding
from einad.ir import build
from einad.ir.expr import Array, Input, Node
from einad.transforms.tracing import Run, as_value, parameter_names

Argnums = int | Sequence[int]


class Variables:
    """The arguments a derivative is taken by: their inputs, containers and whether one or several were named."""

    def __init__(self, run: Run, args: Sequence[Any], argnums: Argnums) -> None:
        self.positions = positions(argnums, len(args), run.purpose)
        self.single = not isinstance(argnums, Sequence)
        self.args = list(args)
        self.inputs: list[Input] = []
        self.structures: list[Structure] = []
        names = parameter_names(run.f, len(args))
        for position in self.positions:
            tensors, inputs, structure = run.open(args[position], names[position], differentiated=True)
            self.args[position] = tensors
            self.inputs += inputs
            self.structures.append(structure)

    @property
    def structure(self) -> Structure:
        """The container of what is returned: one argument's, or a tuple of several."""
        return self.structures[0] if self.single else Structure(tuple, (), tuple(self.structures))


def positions(argnums: Argnums, count: int, purpose: str) -> list[int]:
    """Positions of arguments, checked; negative ones count from the end."""
    numbers = list(argnums) if isinstance(argnums, Sequence) else [argnums]
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, int):
            raise TypeError(f"argnums must be an int or a tuple of ints, got {argnums!r}")
        if not -count <= number < count:
            raise ValueError(f"ea.{purpose} by argument {number}, but the function was called with {count} arguments")
    found = [number % count for number in numbers]
    if len(set(found)) != len(found):
        raise ValueError(f"argnums names an argument twice: {argnums!r}")
    return found


def grad(f: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """The gradient of a scalar function.

    Parameters
    ----------
    f : callable
        A function written with NumPy that returns a real scalar; with ``has_aux``, ``(scalar, anything)``.
    argnums : int or tuple of int
        The argument(s) to differentiate by: arrays of floats or complex numbers, or containers of them.
    has_aux : bool
        Whether ``f`` returns a second value, which is passed through.

    Returns
    -------
    callable
        Takes the arguments of ``f``; returns the gradient in the shape, dtype and container of the argument, a tuple
        of them if ``argnums`` is a tuple, and ``(gradient, aux)`` with ``has_aux``. For complex arguments
        ``z = x + iy`` it is ``∂f/∂x - i ∂f/∂y``, as in JAX: descend along its conjugate.

    At kinks a subgradient is taken: 0 for ``abs`` at 0, equal shares among ties of ``max`` and ``maximum``, 0 for
    ``np.linalg.norm`` at 0. Functions that are constant wherever they are smooth (``floor``, ``argmax``, comparisons)
    have derivative zero.

    Raises
    ------
    DerivativeError
        If the result is not a real scalar or an argument is not of floating-point or complex dtype.

    Examples
    --------
    >>> import numpy as np
    >>> grad(lambda x: np.sum(np.sin(x) ** 2))(np.array([0.0, np.pi / 4]))
    array([0., 1.])
    """
    both = value_and_grad(f, argnums, has_aux)

    @wraps(f)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, result = both(*args, **kwargs)
        return (result, value[1]) if has_aux else result

    return gradient


def value_and_grad(f: Callable[..., Any], argnums: Argnums = 0, has_aux: bool = False) -> Callable[..., Any]:
    """Like `grad`, but returns ``(value, gradient)``, or ``((value, aux), gradient)`` with ``has_aux``.

    Examples
    --------
    >>> import numpy as np
    >>> value, slope = value_and_grad(lambda x: x @ x)(np.array([3.0, 4.0]))
    >>> float(value), slope.tolist()
    (25.0, [6.0, 8.0])
    """

    @wraps(f)
    def both(*args: Any, **kwargs: Any) -> Any:
        with Run(f, "grad") as run:
            variables = Variables(run, args, argnums)
            result, aux_tree = _split_aux(run.call(variables.args, kwargs), has_aux)
            output = _scalar(run, result)
            aux, aux_structure = run.nodes(aux_tree) if has_aux and aux_tree is not None else ([], None)
            roots, x = [output, *aux], variables.inputs
            value, *rest = run.derive(None, roots, x, lambda: _value_and_gradients(roots, x))
        count = len(x)
        if has_aux:
            value = (value, None if aux_structure is None else unflatten(aux_structure, rest[count:]))
        return value, unflatten(variables.structure, rest[:count])

    return both


def _value_and_gradients(roots: Sequence[Node], variables: Sequence[Node]) -> list[Node]:
    """The first root's value and gradients, then the other roots."""
    output, *aux = pipeline.prepare(roots)
    return [output, *sweep.vjp([output], [build.full((), 1, output.dtype)], variables), *aux]


def _split_aux(result: Any, has_aux: bool) -> tuple[Any, Any]:
    if not has_aux:
        return result, None
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(f"with has_aux the function returns (value, aux), got {type(result).__name__}")
    return result


def _scalar(run: Run, result: Any) -> Node:
    nodes, structure = run.nodes(result)
    if structure.kind is not None or nodes[0].shape != ():
        found = f"an array of shape {nodes[0].shape}" if structure.kind is None else f"a {structure.kind.__name__}"
        raise DerivativeError(
            f"ea.grad needs a function that returns a scalar, found {found}; sum it, or use ea.jacobian"
        )
    if nodes[0].dtype.kind == "c":
        raise DerivativeError("ea.grad needs a real result, found a complex one; take np.real or np.abs of it")
    _check_float(nodes[0], "grad")
    return nodes[0]


def _check_float(node: Node, purpose: str) -> None:
    if node.dtype.kind not in "fc":
        raise DerivativeError(f"ea.{purpose} of a result of dtype {node.dtype}: integers and booleans have no slope")


def vjp(f: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[[Any], tuple[Any, ...]]]:
    """``(f(*primals), pullback)``; ``pullback(cotangent)`` is a tuple, one entry per primal.

    The cotangent has the container and shapes of the result. The primals are copied, so changing them in place
    afterwards does not change the pullback.

    Examples
    --------
    >>> import numpy as np
    >>> out, pullback = vjp(lambda W, x: W @ x, np.eye(2), np.array([1.0, 2.0]))
    >>> W_bar, x_bar = pullback(np.array([10.0, 20.0]))
    >>> W_bar.tolist(), x_bar.tolist()
    ([[10.0, 20.0], [20.0, 40.0]], [10.0, 20.0])
    """
    with Run(f, "vjp") as run:
        variables = Variables(run, primals, tuple(range(len(primals))))
        nodes, structure = run.nodes(run.call(variables.args, {}))
        for node in nodes:
            _check_float(node, "vjp")
        seeds = [Input(f"cotangent{i}", n.shape, n.dtype, Binding(run.trace, None)) for i, n in enumerate(nodes)]
        values = run.finish(nodes)
        run.arrays = {node: array.copy() for node, array in run.arrays.items()}

    def pullback(cotangent: Any) -> tuple[Any, ...]:
        given = match_leaves(cotangent, structure, nodes, "the cotangent")
        call = run.again(dict(zip(seeds, given, strict=True)))
        x = variables.inputs
        results = call.derive("pullback", [*nodes, *seeds], x, lambda: sweep.vjp(pipeline.prepare(nodes), seeds, x))
        return tuple(unflatten(variables.structure, results))

    return unflatten(structure, values), pullback


def jvp(f: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]) -> tuple[Any, Any]:
    """``(f(*primals), tangent of the result)`` for tangents of the primals, in their containers and shapes.

    Examples
    --------
    >>> import numpy as np
    >>> out, dot = jvp(np.sin, (np.array(0.0),), (np.array(2.0),))
    >>> float(out), float(dot)
    (0.0, 2.0)
    """
    if len(primals) != len(tangents):
        raise TypeError(f"ea.jvp got {len(primals)} primals and {len(tangents)} tangents; give one tangent per primal")
    with Run(f, "jvp") as run:
        variables = Variables(run, primals, tuple(range(len(primals))))
        given = match_leaves(tuple(tangents), variables.structure, variables.inputs, "the tangents")
        nodes, structure = run.nodes(run.call(variables.args, {}))
        for node in nodes:
            _check_float(node, "jvp")
        x = variables.inputs
        seeds = [Input(f"{n.name}_dot", n.shape, n.dtype, Binding(run.trace, None)) for n in x]
        call = run.again(dict(zip(seeds, given, strict=True)))
        values = call.derive(None, [*nodes, *seeds], x, lambda: _values_and_tangents(nodes, x, seeds))
    return unflatten(structure, values[: len(nodes)]), unflatten(structure, values[len(nodes) :])


def _values_and_tangents(nodes: Sequence[Node], variables: Sequence[Node], seeds: Sequence[Node]) -> list[Node]:
    outputs = pipeline.prepare(nodes)
    return [*outputs, *sweep.jvp(outputs, dict(zip(variables, seeds, strict=True)))]


def hvp(f: Callable[..., Any], argnums: Argnums = 0) -> Callable[..., Any]:
    """The Hessian-vector product of a scalar function: ``g(primals, v)``, the JVP of the gradient along ``v``.

    ``v`` is shaped like the argument named by ``argnums``, or a tuple of such if it is a tuple.

    Examples
    --------
    >>> import numpy as np
    >>> hvp(lambda x: np.sum(x**3))((np.array([1.0, 2.0]),), np.array([1.0, 10.0]))
    array([  6., 120.])
    """

    def product(primals: Sequence[Any], v: Any) -> Any:
        chosen = positions(argnums, len(primals), "hvp")
        single = not isinstance(argnums, Sequence)

        def gradient(*variables: Any) -> Any:
            args = list(primals)
            for position, variable in zip(chosen, variables, strict=True):
                args[position] = variable
            return grad(f, argnums)(*args)

        tangents = (v,) if single else tuple(v)
        return jvp(gradient, tuple(primals[position] for position in chosen), tangents)[1]

    return product


def match_leaves(tree: Any, structure: Structure, nodes: Sequence[Node], what: str) -> list[Array | Node]:
    """The leaves of a container that must have the structure, shapes and (castable) dtypes of some nodes."""
    leaves, found = flatten(tree)
    if found != structure and not (found.leaf_count == structure.leaf_count == 1):
        raise ShapeError(f"{what} must have the container of what it belongs to: expected {structure}, found {found}")
    return [_match(leaf, node, what) for leaf, node in zip(leaves, nodes, strict=True)]


def _match(leaf: Any, node: Node, what: str) -> Array | Node:
    value = as_value(leaf, what)
    if value.shape != node.shape:
        raise ShapeError(f"{what} has shape {value.shape}, but the tensor it belongs to has shape {node.shape}")
    if value.dtype.kind == "c" and node.dtype.kind != "c":
        raise ShapeError(f"{what} is complex, but the tensor it belongs to is of dtype {node.dtype}")
    return build.cast(value, node.dtype) if isinstance(value, Node) else value.astype(node.dtype)
