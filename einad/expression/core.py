"""Expressions in index notation: text that can be computed, differentiated and planned."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from threading import Lock
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from einad import pipeline
from einad.errors import DerivativeError
from einad.explain.derivation import Derivation, derivation
from einad.explain.latex import latex
from einad.expression.binding import Extra, Form, bind_arrays, bind_extras, call_sizes, require
from einad.expression.contract import contract
from einad.expression.derive import check_wrt, forward, hessian, reverse
from einad.expression.expand import expand
from einad.front.notation import Program, parse
from einad.front.notation_nodes import elaborate
from einad.front.notation_print import tensor_text
from einad.front.notation_sizes import classes
from einad.ir.expr import Array, Input, Node
from einad.plan.memory import as_bytes
from einad.plan.plan import Plan

_CACHED_SIGNATURES = 32
_table: WeakValueDictionary[str, Expression] = WeakValueDictionary()
_lock = Lock()


class Expression:
    """One or more statements in index notation. Make them with `expr`.

    Equal texts are the same object. The last statement's target is the value; methods speak of it unless told
    ``of="Y"``. Derivatives are expressions again: their text says exactly what is computed.

    Inputs count as real in derivatives, unless the text uses ``conj``, ``real``, ``imag`` or imaginary numbers.
    """

    __slots__ = ("__weakref__", "_nodes", "_program")
    _program: Program
    _nodes: _Nodes

    def __init__(self, program: Program) -> None:
        object.__setattr__(self, "_program", program)
        object.__setattr__(self, "_nodes", _node_cache(program))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("an Expression is frozen; make a new one with ea.expr")

    def __str__(self) -> str:
        return self._program.text

    def __repr__(self) -> str:
        return f"expr({str(self)!r})"

    def __reduce__(self) -> tuple[Callable[[str], Expression], tuple[str]]:
        return expr, (str(self),)

    def __copy__(self) -> Expression:
        return self

    def __deepcopy__(self, memo: object) -> Expression:
        return self

    @property
    def inputs(self) -> dict[str, tuple[str, ...]]:
        """The tensors that come with the call, with their indices."""
        return dict(self._program.inputs)

    @property
    def outputs(self) -> dict[str, tuple[str, ...]]:
        """The targets with their indices, in order."""
        return dict(self._program.outputs)

    @property
    def indices(self) -> tuple[str, ...]:
        """Every index, in order of first appearance."""
        return self._program.indices

    def __call__(self, /, **values: Any) -> Any:
        """The value of the last statement.

        Parameters
        ----------
        **values
            An array-like for each input; an int for an index whose size no tensor fixes (``i=3``). Names the text
            does not use are ignored, so a derivative takes the inputs of the original; an unused ``x`` beside
            ``x_bar``, ``x_dot`` or ``dY_dx`` says their sizes.

        Examples
        --------
        >>> expr("y[i] = A[i,j] * x[j]")(A=[[1, 2], [3, 4]], x=[1, 1])
        array([3, 7])
        """
        nodes, arrays = self._bind(values)
        (value,) = pipeline.evaluate([nodes[self._last]], arrays)
        return value[()]

    def all(self, /, **values: Any) -> dict[str, Any]:
        """The values of all targets.

        >>> expr("y[i] = 2 * x[i]; z = y[i]").all(x=[1, 2])
        {'y': array([2, 4]), 'z': np.int64(6)}
        """
        nodes, arrays = self._bind(values)
        found = pipeline.evaluate(list(nodes.values()), arrays)
        return {name: value[()] for name, value in zip(nodes, found, strict=True)}

    def compile(self, /, *, backend: str = "numpy", memory_limit: int | str | None = None, **shapes: Any) -> Plan:
        """The plan for given shapes (float64), or for arrays or anything else with a shape and a dtype.

        It takes the inputs in the order of `inputs` and gives all the targets' values in the order of `outputs`.

        Raises
        ------
        MemoryLimitError
            If temporaries and results cannot be kept within ``memory_limit``, bytes or text such as ``"200 MB"``,
            not even by computing values again or in slices; nothing was allocated.
        """
        require(self._program, shapes)
        forms = {name: _form(shapes[name]) for name in self._program.inputs}
        others = {n: np.empty(v) if _is_shape(v) else v for n, v in shapes.items() if n not in forms}
        nodes = self._nodes(tuple(forms.values()), bind_extras(self._program, others))
        inputs = [Input(name, *form) for name, form in forms.items()]
        return _compile(list(nodes.values()), inputs, backend, memory_limit)

    def vjp(self, *wrt: str, of: str | None = None) -> Expression:
        """The cotangent of tensors, ``W_bar``, given that of a target, the input ``Y_bar``.

        >>> print(expr("Y[i,k] = W[i,j] * X[j,k]").vjp("W"))
        W_bar[i,j] = Y_bar[i,k] * X[j,k]
        """
        return expr(reverse(expand(self._program), *self._checked(wrt, of), "vjp"))

    def jvp(self, *wrt: str, of: str | None = None) -> Expression:
        """The tangent of a target, ``Y_dot``, for tangents of tensors, the inputs ``W_dot``.

        >>> print(expr("Y[i,k] = W[i,j] * X[j,k]").jvp("W", "X"))
        Y_dot[i,k] = W_dot[i,j] * X[j,k] + W[i,j] * X_dot[j,k]
        """
        return expr(forward(expand(self._program), *self._checked(wrt, of)))

    def grad(self, *wrt: str, of: str | None = None) -> Expression:
        """The gradient of a scalar target; several tensors give several targets, one reverse sweep for all.

        >>> print(expr("loss = 0.5 * x[i] * A[i,j] * x[j]").grad("A"))
        dloss_dA[i,j] = 0.5 * x[i] * x[j]
        """
        names, target = self._checked(wrt, of)
        self._require_scalar(target, "grad")
        return expr(reverse(expand(self._program), names, target, "grad"))

    def jacobian(self, *wrt: str, of: str | None = None) -> Expression:
        """The Jacobian of a target, ``dY_dW``, its axes those of ``Y`` and then those of ``W``.

        A Kronecker delta of the whole is written as a repeated index on the left.

        >>> print(expr("Y[i,k] = W[i,j] * X[j,k]").jacobian("W"))
        dY_dW[i,k,i,b] = X[b,k]
        """
        return expr(reverse(expand(self._program), *self._checked(wrt, of), "jacobian"))

    def hessian(self, row: str, column: str | None = None, *, of: str | None = None) -> Expression:
        """The second derivative of a scalar target by two tensors, or by one tensor twice.

        >>> print(expr("loss = 0.5 * x[i] * A[i,j] * x[j]").hessian("x", "A"))
        d2loss_dx_dA[i,a,b] = 0.5 * δ[i,b] * x[a] + 0.5 * δ[i,a] * x[b]
        """
        column = column or row
        _, target = self._checked((row,) if column == row else (row, column), of)
        self._require_scalar(target, "hessian")
        return expr(hessian(expand(self._program), row, column, target))

    def derivation(self, wrt: str, of: str | None = None) -> Derivation:
        """The Kronecker-delta steps from a product to its derivative; ``str()`` and ``.latex()`` show them."""
        _, target = self._checked((wrt,), of)
        program = expand(self._program)
        k = list(program.outputs).index(target)
        return derivation(program, k, wrt)

    def latex(self) -> str:
        """The statements in LaTeX, sums written out."""
        return latex(self._program)

    def _repr_latex_(self) -> str:
        return f"$${self.latex()}$$"

    @property
    def _last(self) -> str:
        return self._program.statements[-1].target

    def _bind(self, values: Mapping[str, Any]) -> tuple[dict[str, Node], dict[Node, Array]]:
        arrays = bind_arrays(self._program, values)
        forms = tuple([(array.shape, array.dtype) for array in arrays.values()])
        nodes = self._nodes(forms, bind_extras(self._program, values))
        return nodes, {Input(name, array.shape, array.dtype): array for name, array in arrays.items()}

    def _checked(self, wrt: tuple[str, ...], of: str | None) -> tuple[list[str], str]:
        of = of or self._last
        check_wrt(self._program, wrt, of)
        return list(wrt), of

    def _require_scalar(self, of: str, method: str) -> None:
        indices = self._program.outputs[of]
        if indices:
            raise DerivativeError(
                f"{method} needs a scalar target, found {tensor_text(of, indices)}; sum it in a further statement, "
                f"or use jacobian or vjp"
            )


def expr(text: str) -> Expression:
    """Read statements in index notation.

    Parameters
    ----------
    text : str
        ``target[indices] = expression``, on lines or separated by ``;``. An index that stands in two factors of
        a product and not on the left side is summed. ``d(y[i], x[j])`` is the derivative of a target by a tensor;
        further arguments differentiate again, and it is contracted before it is formed. What the target does not
        depend on has the derivative zero; a target that one differentiates by holds what stands upstream of it.

        Indices of tensors on the right may be affine, ``X[n,2*p+r-1]``: strides, dilations, offsets, reversals. A name
        that no plain axis sizes takes the largest range that stays inside the tensors (write ``i+0`` for ``i`` to size
        ``i`` so). Indices that leave a tensor are an error, but for ``pad(X)[n,p+r-1]``, which is zero there; the frame
        of zeros is as wide behind as in front, where a name has to be sized by it.

    Returns
    -------
    Expression
        The same object for the same text: ``expr(str(e)) is e``.

    Raises
    ------
    NotationError
        With a caret under the place that cannot be read.

    Examples
    --------
    >>> e = expr("p[n,o] = exp(h[n,o]) / sum[o](exp(h[n,o]))")
    >>> e(h=[[0.0, 0.0]])
    array([[0.5, 0.5]])
    >>> convolution = expr("y[p] = pad(x)[p+r-1] * k[r]")
    >>> convolution(x=[1.0, 2.0, 4.0], k=[1.0, 1.0, 1.0])
    array([3., 7., 6.])
    >>> print(convolution.vjp("x"))
    x_bar[a] = δ[a,p+r-1] * y_bar[p] * k[r]
    >>> hessian_vector = expr("f = sum[i](x[i]**3); Hv[i] = d(f, x[i], x[j]) * v[j]")
    >>> hessian_vector(x=[1.0, 2.0], v=[1.0, 1.0])
    array([ 6., 12.])
    """
    program = parse(text)
    with _lock:
        found = _table.get(program.text)
        if found is None:
            found = _table[program.text] = Expression(program)
        return found


_Nodes = Callable[[tuple[Form, ...], tuple[Extra, ...]], dict[str, Node]]


def _node_cache(program: Program) -> _Nodes:
    """The nodes of all targets, by the forms of the inputs and what else a call says of sizes."""
    found = classes(program)

    @lru_cache(_CACHED_SIGNATURES)
    def nodes(forms: tuple[Form, ...], extras: tuple[Extra, ...]) -> dict[str, Node]:
        named = dict(zip(program.inputs, forms, strict=True))
        sizes = call_sizes(program, found, {name: shape for name, (shape, _) in named.items()}, extras)
        return elaborate(program, sizes, {name: Input(name, *form) for name, form in named.items()}, contract)

    return nodes


def _is_shape(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(n, int | np.integer) for n in value)


def _form(value: Any) -> Form:
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return tuple(value.shape), np.dtype(value.dtype)
    if _is_shape(value):
        return tuple([int(n) for n in value]), np.dtype(float)
    array = np.asarray(value)
    return array.shape, array.dtype


def _compile(roots: Sequence[Node], inputs: Sequence[Node], backend: str, memory_limit: int | str | None) -> Plan:
    if backend != "numpy":
        raise ValueError(f"the backends are 'numpy', got {backend!r}")
    limit = None if memory_limit is None else as_bytes(memory_limit)
    return pipeline.compile_plan(roots, inputs, memory_limit=limit)
