"""What users call on Python functions: derivatives, batching, compilation, and what they add to the tables."""

from einad.transforms.batching import vmap
from einad.transforms.caches import cache_info, clear_cache, set_cache_size
from einad.transforms.compiling import jit, plan
from einad.transforms.custom import einsum, elementwise, stop_gradient
from einad.transforms.derivatives import grad, hvp, jvp, value_and_grad, vjp
from einad.transforms.jacobians import hessian, jacobian

__all__ = [
    "cache_info",
    "clear_cache",
    "einsum",
    "elementwise",
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
