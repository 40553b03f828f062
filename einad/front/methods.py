"""The methods of arrays on traced tensors: each is the NumPy function of the same name."""

from __future__ import annotations

from typing import Any

from einad.front import indexing
from einad.front import numpy_choices as choices
from einad.front import numpy_contractions as contractions
from einad.front import numpy_elementwise as pointwise
from einad.front import numpy_moves as moves
from einad.front import numpy_reductions as reductions
from einad.front import numpy_shapes as shapes
from einad.front.calls import checked_keywords
from einad.front.operators import Meaning, Operators


class Methods(Operators):
    """Methods and properties that are NumPy functions with the tensor in first place."""

    __slots__ = ()

    def _method(self, meaning: Meaning, *args: Any, **kwargs: Any) -> Any:
        name = meaning.__name__.rstrip("_")
        return self._record(meaning, self, *args, **checked_keywords(name, meaning, kwargs))

    @property
    def T(self) -> Any:  # noqa: N802
        """The axes in reverse."""
        return self._method(shapes.transpose)

    @property
    def mT(self) -> Any:  # noqa: N802
        """The last two axes exchanged."""
        return self._method(shapes.matrix_transpose)

    @property
    def real(self) -> Any:
        """The real part."""
        return self._method(pointwise.real)

    @property
    def imag(self) -> Any:
        """The imaginary part."""
        return self._method(pointwise.imag)

    def reshape(self, *shape: Any, **kwargs: Any) -> Any:
        """``np.reshape``; the shape may be given as several integers."""
        return self._method(shapes.reshape, _one(shape), **kwargs)

    def transpose(self, *axes: Any) -> Any:
        """``np.transpose``; the axes may be given as several integers."""
        return self._method(shapes.transpose, _one(axes) if axes else None)

    def ravel(self, *args: Any, **kwargs: Any) -> Any:
        """``np.ravel``."""
        return self._method(shapes.ravel, *args, **kwargs)

    def flatten(self, *args: Any, **kwargs: Any) -> Any:
        """``np.ravel``."""
        return self._method(shapes.ravel, *args, **kwargs)

    def swapaxes(self, axis1: int, axis2: int) -> Any:
        """``np.swapaxes``."""
        return self._method(shapes.swapaxes, axis1, axis2)

    def squeeze(self, *args: Any, **kwargs: Any) -> Any:
        """``np.squeeze``."""
        return self._method(shapes.squeeze, *args, **kwargs)

    def diagonal(self, *args: Any, **kwargs: Any) -> Any:
        """``np.diagonal``."""
        return self._method(shapes.diagonal, *args, **kwargs)

    def repeat(self, *args: Any, **kwargs: Any) -> Any:
        """``np.repeat``."""
        return self._method(moves.repeat, *args, **kwargs)

    def take(self, *args: Any, **kwargs: Any) -> Any:
        """``np.take``."""
        return self._method(indexing.take, *args, **kwargs)

    def copy(self, *args: Any, **kwargs: Any) -> Any:
        """The tensor itself: it is never changed in place."""
        return self._method(shapes.copy, *args, **kwargs)

    def astype(self, dtype: Any, *_: Any, **__: Any) -> Any:
        """The values in another dtype."""
        return self._method(pointwise.astype, dtype)

    def conj(self) -> Any:
        """The complex conjugate."""
        return self._method(pointwise.conjugate)

    def conjugate(self) -> Any:
        """The complex conjugate."""
        return self._method(pointwise.conjugate)

    def clip(self, *args: Any, **kwargs: Any) -> Any:
        """``np.clip``."""
        return self._method(choices.clip, *args, **kwargs)

    def round(self, *args: Any, **kwargs: Any) -> Any:
        """``np.round``."""
        return self._method(choices.round_, *args, **kwargs)

    def dot(self, b: Any) -> Any:
        """``np.dot``."""
        return self._method(contractions.dot, b)

    def trace(self, *args: Any, **kwargs: Any) -> Any:
        """``np.trace``."""
        return self._method(reductions.trace, *args, **kwargs)

    def sum(self, *args: Any, **kwargs: Any) -> Any:
        """``np.sum``."""
        return self._method(reductions.sum_, *args, **kwargs)

    def mean(self, *args: Any, **kwargs: Any) -> Any:
        """``np.mean``."""
        return self._method(reductions.mean, *args, **kwargs)

    def var(self, *args: Any, **kwargs: Any) -> Any:
        """``np.var``."""
        return self._method(reductions.var, *args, **kwargs)

    def std(self, *args: Any, **kwargs: Any) -> Any:
        """``np.std``."""
        return self._method(reductions.std, *args, **kwargs)

    def prod(self, *args: Any, **kwargs: Any) -> Any:
        """``np.prod``."""
        return self._method(reductions.prod, *args, **kwargs)

    def max(self, *args: Any, **kwargs: Any) -> Any:
        """``np.max``."""
        return self._method(reductions.max_, *args, **kwargs)

    def min(self, *args: Any, **kwargs: Any) -> Any:
        """``np.min``."""
        return self._method(reductions.min_, *args, **kwargs)

    def argmax(self, *args: Any, **kwargs: Any) -> Any:
        """``np.argmax``."""
        return self._method(reductions.argmax, *args, **kwargs)

    def argmin(self, *args: Any, **kwargs: Any) -> Any:
        """``np.argmin``."""
        return self._method(reductions.argmin, *args, **kwargs)

    def any(self, *args: Any, **kwargs: Any) -> Any:
        """``np.any``."""
        return self._method(reductions.any_, *args, **kwargs)

    def all(self, *args: Any, **kwargs: Any) -> Any:
        """``np.all``."""
        return self._method(reductions.all_, *args, **kwargs)

    def cumsum(self, *args: Any, **kwargs: Any) -> Any:
        """``np.cumsum``."""
        return self._method(reductions.cumsum, *args, **kwargs)


def _one(entries: tuple[Any, ...]) -> Any:
    return entries[0] if len(entries) == 1 else entries
