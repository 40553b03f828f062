"""One function per engine: from a workload to a callable that computes its derivative on given arguments."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

Run = Callable[[], Any]


def einad(w: dict[str, Any], f: Any, args: tuple[Any, ...]) -> Run:
    import einad as ea

    g = _derivative(ea, w, lambda *a: f(np, *a))
    if w["kind"] == "hvp":
        v = direction(args[w["argnums"]])
        h = ea.jit(lambda args, v: g(args, v))
        return lambda: h(args, v)
    h = ea.jit(g)
    return lambda: h(*args)


def jax(w: dict[str, Any], f: Any, args: tuple[Any, ...]) -> Run:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    args = tuple(jnp.asarray(a) for a in args)

    def g(*a: Any) -> Any:
        return f(jnp, *a)

    n = w["argnums"]
    if w["kind"] == "hvp":
        v = jnp.asarray(direction(np.asarray(args[n])))
        h = jax.jit(lambda *a: jax.jvp(lambda x: jax.grad(g)(x, *a[1:]), (a[0],), (v,))[1])
    elif w["kind"] == "vg":
        h = jax.jit(jax.value_and_grad(g, n))
    else:
        h = jax.jit(jax.hessian(g, n) if w["kind"] == "hess" else jax.jacobian(g, n))
    return lambda: jax.block_until_ready(h(*args))


class TorchNames:
    """NumPy's names for what the workloads use of PyTorch."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module("torch"), name)


def torch(w: dict[str, Any], f: Any, args: tuple[Any, ...]) -> Run:
    import torch
    from torch.func import grad_and_value, hessian, jacrev, jvp

    torch.set_num_threads(1)
    xp = TorchNames()
    tensors = tuple(torch.from_numpy(np.ascontiguousarray(a)) for a in args)
    n = w["argnums"]

    def g(*a: Any) -> Any:
        return f(xp, *a)

    if w["kind"] == "vg":
        h = grad_and_value(g, n)
        return lambda: h(*tensors)[::-1]
    if w["kind"] == "hvp":
        v = torch.from_numpy(direction(args[n]))
        gradient = torch.func.grad(g, n)
        return lambda: jvp(lambda x: gradient(x, *tensors[1:]), (tensors[0],), (v,))[1]
    h = (hessian if w["kind"] == "hess" else jacrev)(g, n)
    return lambda: h(*tensors)


def autograd(w: dict[str, Any], f: Any, args: tuple[Any, ...]) -> Run:
    import autograd
    import autograd.numpy as anp

    def g(*a: Any) -> Any:
        return f(anp, *a)

    n = w["argnums"]
    if w["kind"] == "vg":
        h = autograd.value_and_grad(g, n)
        return lambda: h(*args)
    if w["kind"] == "hvp":
        v = direction(args[n])
        gradient = autograd.grad(lambda x: g(x, *args[1:]))
        return lambda: autograd.make_vjp(gradient)(args[0])[0](v)
    h = (autograd.hessian if w["kind"] == "hess" else autograd.jacobian)(g, n)
    return lambda: h(*args)


def _derivative(ea: Any, w: dict[str, Any], f: Any) -> Any:
    kinds = {"vg": ea.value_and_grad, "jac": ea.jacobian, "hess": ea.hessian, "hvp": ea.hvp}
    return kinds[w["kind"]](f, w["argnums"])


def direction(x: Any) -> Any:
    """A fixed direction shaped like an argument."""
    return np.random.default_rng(1).standard_normal(x.shape).astype(x.dtype)


ENGINES: dict[str, Callable[..., Run]] = {"einad": einad, "jax": jax, "torch": torch, "autograd": autograd}
