"""FactoredTensor: a Jacobian or Hessian as a sum of products, never formed unless asked for."""

from __future__ import annotations

from collections.abc import Sequence
from types import EllipsisType
from typing import TYPE_CHECKING, Any

import numpy as np

from einad.errors import ShapeError
from einad.factored import selection, solving, sparse
from einad.factored.printing import sum_text
from einad.factored.terms import Term, evaluate_terms, total
from einad.ir import build
from einad.ir.expr import Array, DType, Literal, Node, Shape

if TYPE_CHECKING:
    from scipy.sparse import csr_array
    from scipy.sparse.linalg import LinearOperator

Index = int | slice | EllipsisType


class FactoredTensor:
    """The linear map from tensors of ``in_shape`` to tensors of ``out_shape``, as a sum of products with deltas.

    Its full shape is ``out_shape + in_shape``. Only the factors are stored: ``nbytes`` counts them exactly.

    Examples
    --------
    >>> import numpy as np, einad as ea
    >>> H = ea.hessian(lambda U: np.sum((U @ np.ones((2, 5))) ** 2), factored=True)(np.ones((1000, 2)))
    >>> H.shape, H.nbytes
    ((1000, 2, 1000, 2), 32)
    >>> print(H)
    H[i,j,k,l] = 2 δ[i,k] M[j,l]
    >>> H.matvec(np.ones((1000, 2)))[0].tolist()
    [20.0, 20.0]
    """

    __array_ufunc__ = None  # NumPy's operators leave products with arrays and NumPy scalars to the methods below

    def __init__(self, terms: Sequence[Term], out_shape: Shape, in_shape: Shape, dtype: DType, name: str = "J") -> None:
        self.terms = tuple(terms)
        self.out_shape, self.in_shape = tuple(out_shape), tuple(in_shape)
        self.dtype, self.name = np.dtype(dtype), name

    @property
    def shape(self) -> Shape:
        """``out_shape + in_shape``."""
        return self.out_shape + self.in_shape

    @property
    def ndim(self) -> int:
        """The number of axes of the full tensor."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements of the full tensor, most of which may not be stored."""
        return int(np.prod(self.shape, dtype=object))

    @property
    def nbytes(self) -> int:
        """The bytes of the factors; an array used in several terms counts once."""
        return sum({id(f.array): f.array.nbytes for term in self.terms for f in term.factors}.values())

    def dense(self) -> Array:
        """The full tensor as an array of ``shape``."""
        return total(self._nodes(), self.shape, self.dtype)

    def matvec(self, v: Any) -> Array:
        """``out.. = sum over in.. of J[out..,in..] v[in..]``; ``v`` has ``in_shape``, the result ``out_shape``."""
        v = self._operand(v, self.in_shape, "matvec")
        rows = len(self.out_shape)
        return self._contract(v, slice(rows, None), slice(0, rows), self.out_shape)

    def rmatvec(self, u: Any) -> Array:
        """``in.. = sum over out.. of u[out..] J[out..,in..]`` (no conjugation); the result has ``in_shape``."""
        u = self._operand(u, self.out_shape, "rmatvec")
        rows = len(self.out_shape)
        return self._contract(u, slice(0, rows), slice(rows, None), self.in_shape)

    @property
    def T(self) -> FactoredTensor:  # noqa: N802 - NumPy's name
        """The transpose: input and output exchanged, of shape ``in_shape + out_shape``."""
        rows = len(self.out_shape)
        terms = [term._replace(output=term.output[rows:] + term.output[:rows]) for term in self.terms]
        return FactoredTensor(terms, self.in_shape, self.out_shape, self.dtype, self.name)

    def __matmul__(self, other: Any) -> Any:
        """Composition: contraction over all inner axes. An array of ``in_shape`` gives an array."""
        if not isinstance(other, FactoredTensor):
            return self.matvec(other)
        if other.out_shape != self.in_shape:
            raise ShapeError(f"cannot compose {self.shape} with {other.shape}: {self.in_shape} != {other.out_shape}")
        rows, inner = len(self.out_shape), len(self.in_shape)
        left, right = range(rows + inner), range(rows, rows + inner + len(other.in_shape))
        output = [*range(rows), *range(rows + inner, rows + inner + len(other.in_shape))]
        products = [build.einsum([left, right], output, [a, b]) for a in self._nodes() for b in other._nodes()]
        return self._from_nodes(products, self.out_shape, other.in_shape)

    def __rmatmul__(self, other: Any) -> Array:
        return self.rmatvec(other)

    def __add__(self, other: FactoredTensor) -> FactoredTensor:
        if not isinstance(other, FactoredTensor):
            return NotImplemented
        if (self.out_shape, self.in_shape) != (other.out_shape, other.in_shape):
            raise ShapeError(f"cannot add factored tensors of shapes {self.shape} and {other.shape}")
        return self._from_nodes([*self._nodes(), *other._nodes()], self.out_shape, self.in_shape)

    def __mul__(self, scalar: Any) -> FactoredTensor:
        if not isinstance(scalar, int | float | complex | np.number):
            return NotImplemented
        value = scalar.item() if isinstance(scalar, np.generic) else scalar
        terms = [term._replace(coefficient=term.coefficient * value) for term in self.terms]
        return FactoredTensor(terms, self.out_shape, self.in_shape, np.result_type(self.dtype, value), self.name)

    __rmul__ = __mul__

    def __neg__(self) -> FactoredTensor:
        return self * -1

    def __sub__(self, other: FactoredTensor) -> FactoredTensor:
        if not isinstance(other, FactoredTensor):
            return NotImplemented
        return self + -other

    def diagonal(self) -> Array:
        """``D[i..] = J[i..,i..]``, of ``in_shape``; the full tensor is not formed."""
        self._need_square("diagonal")
        axes = tuple(range(len(self.in_shape)))
        return total([build.einsum([axes + axes], axes, [n]) for n in self._nodes()], self.in_shape, self.dtype)

    def trace(self) -> Any:
        """The sum of the diagonal, as a scalar."""
        self._need_square("trace")
        axes = tuple(range(len(self.in_shape)))
        return total([build.einsum([axes + axes], (), [n]) for n in self._nodes()], (), self.dtype)[()]

    def __getitem__(self, index: Index | tuple[Index, ...]) -> Any:
        """A block as an array: ints, slices and ``...`` per axis; only the block is formed."""
        chosen = selection.normalise_index(index, self.shape)
        block = total(
            [selection.select(t, chosen, self.dtype) for t in self.terms],
            tuple([len(c) for c in chosen.positions]),
            self.dtype,
        )
        return block.reshape(chosen.shape)[()]

    def solve(self, b: Any, tolerance: float = 1e-10) -> Array:
        """The ``x`` of ``in_shape`` with ``J x = b``; see `einad.factored.solving.solve` for how."""
        b = self._operand(b, self.out_shape, "solve")
        self._need_square("solve")
        return solving.solve(self, b, tolerance)

    def as_linear_operator(self) -> LinearOperator:
        """A SciPy LinearOperator on flattened tensors."""
        return sparse.linear_operator(self)

    def to_scipy_sparse(self) -> csr_array:
        """A SciPy sparse array of shape (out size, in size); stores one entry per distinct label assignment."""
        return sparse.to_csr(self)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.asarray(self.dense(), dtype)

    def __str__(self) -> str:
        letters = [chr(ord("i") + n) if n < 18 else f"i{n}" for n in range(self.ndim)]
        return f"{self.name}[{','.join(letters)}] = {sum_text(self.terms, letters)}"

    def __repr__(self) -> str:
        return f"<FactoredTensor {self.out_shape} x {self.in_shape}, {self.nbytes} bytes: {self}>"

    def _nodes(self) -> list[Node]:
        return [term.node(self.dtype) for term in self.terms]

    def _from_nodes(self, nodes: Sequence[Node], out_shape: Shape, in_shape: Shape) -> FactoredTensor:
        if not nodes:
            return FactoredTensor([], out_shape, in_shape, self.dtype, self.name)
        root = build.add(*nodes)
        return FactoredTensor(evaluate_terms(root), out_shape, in_shape, root.dtype, self.name)

    def _contract(self, x: Array, over: slice, kept: slice, shape: Shape) -> Array:
        operand = Literal(x)
        axes = tuple(range(self.ndim))
        nodes = [build.einsum([axes, axes[over]], axes[kept], [n, operand]) for n in self._nodes()]
        return total(nodes, shape, np.result_type(self.dtype, x.dtype))

    def _operand(self, x: Any, shape: Shape, what: str) -> Array:
        array = np.asarray(x)
        if array.shape != shape:
            raise ShapeError(f"{what} needs an array of shape {shape}, got {array.shape}")
        return array

    def _need_square(self, what: str) -> None:
        if self.out_shape != self.in_shape:
            raise ShapeError(f"{what} needs equal output and input shapes, got {self.out_shape} and {self.in_shape}")
