"""One function per engine: from a workload to a callable that computes its derivative on given arguments."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
from registry import Workload, directions

Run = Callable[[], Any]


def by_some(g: Any, argnums: Any, args: Any) -> tuple[Any, Any]:
    """``g`` as a function of the differentiated arguments only, and those."""
    chosen = argnums if isinstance(argnums, tuple) else (argnums,)

    def partial(*some: Any) -> Any:
        full = list(args)
        for n, x in zip(chosen, some, strict=True):
            full[n] = x
        return g(*full)

    return partial, tuple(args[n] for n in chosen)


def products(api: Any, kind: str) -> Any:
    """Hessian-vector and Gauss-Newton products by an engine's own ``grad``, ``jvp`` and ``vjp``."""

    def derivative(g: Any, argnums: Any, args: Any, v: Any) -> Any:
        partial, x = by_some(g, argnums, args)
        if kind == "hvp":
            gradient = api.grad(partial, tuple(range(len(x))))
            return api.jvp(gradient, x, v)[1]
        return api.vjp(partial, *x)[1](api.jvp(partial, x, v)[1])

    return derivative


def einad(w: Workload, f: Any, args: tuple[Any, ...]) -> Run:
    import einad as ea

    def g(*a: Any) -> Any:
        return f(np, *a)

    kinds = {"gradient": ea.value_and_grad, "jacobian": ea.jacobian, "hessian": ea.hessian}
    if w.kind in kinds:
        h = ea.jit(kinds[w.kind](g, w.argnums))
        return lambda: h(*args)
    product, v = products(ea, w.kind), directions(w, args)
    h = ea.jit(lambda args, v: product(g, w.argnums, args, v))
    return lambda: h(args, v)


def jax(w: Workload, f: Any, args: tuple[Any, ...]) -> Run:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)

    def g(*a: Any) -> Any:
        return f(jnp, *a)

    kinds = {"gradient": jax.value_and_grad, "jacobian": jax.jacobian, "hessian": jax.hessian}
    v = tuple(jnp.asarray(a) for a in directions(w, args))
    args = tuple(jnp.asarray(a) for a in args)
    if w.kind in kinds:
        h = jax.jit(kinds[w.kind](g, w.argnums))
        return lambda: jax.block_until_ready(h(*args))
    product = products(jax, w.kind)
    h = jax.jit(lambda args, v: product(g, w.argnums, args, v))
    return lambda: jax.block_until_ready(h(args, v))


class TorchNames:
    """NumPy's names for what the workloads use of PyTorch."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module("torch"), name)


def torch(w: Workload, f: Any, args: tuple[Any, ...]) -> Run:
    import torch
    import torch.func

    torch.set_num_threads(1)
    xp = TorchNames()
    tensors = tuple(torch.from_numpy(np.ascontiguousarray(a)) for a in args)

    def g(*a: Any) -> Any:
        return f(xp, *a)

    if w.kind == "gradient":
        h = torch.func.grad_and_value(g, w.argnums)
        return lambda: h(*tensors)[::-1]
    if w.kind in ("jacobian", "hessian"):
        h = (torch.func.hessian if w.kind == "hessian" else torch.func.jacrev)(g, w.argnums)
        return lambda: h(*tensors)
    v = tuple(torch.from_numpy(a) for a in directions(w, args))
    product = products(torch.func, w.kind)
    return lambda: product(g, w.argnums, tensors, v)


def autograd(w: Workload, f: Any, args: tuple[Any, ...]) -> Run:
    import autograd
    import autograd.numpy as anp

    def g(*a: Any) -> Any:
        return f(anp, *a)

    kinds = {"gradient": autograd.value_and_grad, "jacobian": autograd.jacobian, "hessian": autograd.hessian}
    if w.kind not in kinds:
        raise NotImplementedError(f"autograd is not asked for {w.kind}")
    h = kinds[w.kind](g, w.argnums)
    return lambda: h(*args)


ENGINES: dict[str, Callable[..., Run]] = {"einad": einad, "jax": jax, "torch": torch, "autograd": autograd}
