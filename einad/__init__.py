"""einad differentiates tensor contractions: every derivative is again an expression one can read, plan and run.

>>> import numpy as np
>>> import einad as ea
>>> ea.grad(lambda W, x: np.sum(np.tanh(W @ x)))(np.zeros((2, 3)), np.ones(3))
array([[1., 1., 1.],
[1., 1., 1.]])
>>> print(ea.expr("Y[i,k] = W[i,j] * X[j,k]").vjp("W"))
W_bar[i,j] = Y_bar[i,k] * X[j,k]
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from einad.errors import (
    ConcretizationError,
    DerivativeError,
    MemoryLimitError,
    NotationError,
    ShapeError,
)
from einad.plan.plan import Plan
from einad.transforms import (
    cache_info,
    clear_cache,
    einsum,
    elementwise,
    grad,
    hessian,
    hvp,
    jacobian,
    jit,
    jvp,
    plan,
    set_cache_size,
    stop_gradient,
    value_and_grad,
    vjp,
    vmap,
)

if TYPE_CHECKING:
    from einad.expression import Expression, expr
    from einad.factored import FactoredTensor

__version__ = "0.1.0"

__all__ = [
    "ConcretizationError",
    "DerivativeError",
    "Expression",
    "FactoredTensor",
    "MemoryLimitError",
    "NotationError",
    "Plan",
    "ShapeError",
    "cache_info",
    "clear_cache",
    "einsum",
    "elementwise",
    "expr",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jit",
    "jvp",
    "plan",
    "set_cache_size",
    "stop_gradient",
    "value_and_grad",
    "vjp",
    "vmap",
]


def __getattr__(name: str) -> Any:
    """What is loaded when it is first used: index notation alone is a third of the package's import time."""
    if name in ("Expression", "expr"):
        module = import_module("einad.expression")
        globals().update(Expression=module.Expression, expr=module.expr)
        return globals()[name]
    if name == "FactoredTensor":
        globals()[name] = import_module("einad.factored").FactoredTensor
        return globals()[name]
    raise AttributeError(f"module 'einad' has no attribute {name!r}")
