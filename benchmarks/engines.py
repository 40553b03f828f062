"""One function per engine: from a workload to a callable that computes its derivative on given arguments.

An engine's packages are imported, and its runtime started, by ``start`` before any clock runs.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from registry import Workload, directions
from sets import HAND, WORKLOADS

Run = Callable[[], Any]

PACKAGES: dict[str, tuple[str, ...]] = {
    "einad": ("einad",),
    "einad-fast": ("einad",),
    "numpy": ("numpy",),
    "jax": ("jax", "jax.numpy"),
    "torch": ("torch", "torch.func"),
    "autograd": ("autograd", "autograd.numpy"),
}
EINAD_KINDS = {"gradient": "value_and_grad", "jacobian": "jacobian", "hessian": "hessian"}


def start(engine: str) -> None:
    """Import an engine and start what runs once in a process, so that a first call measures the first call."""
    for package in PACKAGES[engine]:
        importlib.import_module(package)
    if engine == "jax":
        _start_jax()
    if engine == "torch":
        importlib.import_module("torch").set_num_threads(len(os.sched_getaffinity(0)))


def _start_jax() -> None:
    import jax

    jax.config.update("jax_enable_x64", True)
    jax.block_until_ready(jax.numpy.zeros(1))


def by_some(g: Any, argnums: Any, args: Any) -> tuple[Any, Any]:
    """``g`` as a function of the differentiated arguments only, and those."""
    chosen = argnums if isinstance(argnums, tuple) else (argnums,)

    def of_some(*some: Any) -> Any:
        full = list(args)
        for n, x in zip(chosen, some, strict=True):
            full[n] = x
        return g(*full)

    return of_some, tuple(args[n] for n in chosen)


def products(api: Any, kind: str) -> Any:
    """Hessian-vector and Gauss-Newton products by an engine's own ``grad``, ``jvp`` and ``vjp``."""

    def derivative(g: Any, argnums: Any, args: Any, v: Any) -> Any:
        of_some, x = by_some(g, argnums, args)
        if kind == "hvp":
            gradient = api.grad(of_some, tuple(range(len(x))))
            return api.jvp(gradient, x, v)[1]
        return api.vjp(of_some, *x)[1](api.jvp(of_some, x, v)[1])

    return derivative


def einad_derivative(w: Workload, f: Any, args: tuple[Any, ...]) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """The derivative as a function for ``ea.jit`` or ``ea.plan``, and what to call it with."""
    import einad as ea

    def g(*a: Any) -> Any:
        return f(np, *a)

    if w.kind in EINAD_KINDS:
        return getattr(ea, EINAD_KINDS[w.kind])(g, w.argnums), args
    product = products(ea, w.kind)
    return lambda args, v: product(g, w.argnums, args, v), (args, directions(w, args))


def einad(w: Workload, f: Any, args: tuple[Any, ...], **options: Any) -> Run:
    import einad as ea

    derivative, given = einad_derivative(w, f, args)
    h = ea.jit(derivative, **options)
    return lambda: h(*given)


def einad_costs(w: Workload, f: Any, args: tuple[Any, ...]) -> dict[str, int]:
    """What the plan says it costs."""
    import einad as ea

    derivative, given = einad_derivative(w, f, args)
    plan = ea.plan(derivative, *given)
    return {"plan_flops": plan.flops, "plan_peak_bytes": plan.peak_bytes, "plan_steps": len(plan.steps)}


def numpy(w: Workload, f: Any, args: tuple[Any, ...]) -> Run:
    """An expert's program; none is written for the literature's workloads."""
    name = next(name for name, each in WORKLOADS.items() if each is w)
    if name not in HAND:
        raise NotImplementedError(f"no hand-written program for {name}")
    program = HAND[name]
    given = args if w.kind in EINAD_KINDS else (args, directions(w, args))
    return lambda: program(*given)


def jax(w: Workload, f: Any, args: tuple[Any, ...]) -> Run:
    import jax
    import jax.numpy as jnp

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


ENGINES: dict[str, Callable[..., Run]] = {
    "einad": einad,
    "einad-fast": partial(einad, fast_math=True),
    "numpy": numpy,
    "jax": jax,
    "torch": torch,
    "autograd": autograd,
}
