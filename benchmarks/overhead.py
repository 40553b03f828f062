"""What a call costs beside its arithmetic: ``python benchmarks/overhead.py``.

Three tables, times in microseconds, the least of many repetitions:

- a jitted call of a tiny function of one to four arrays, beside the generated function alone (and ``jax.jit``, where
  JAX is installed),
- the generated function of a plan, beside the same NumPy calls written one after the other with operands prepared,
- a function differentiated anew at every call, without ``jit``: what tracing costs for each node.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import sys
import timeit
from collections.abc import Callable
from typing import Any

import numpy as np
from engines import by_some
from workloads import W

import einad as ea

Call = Callable[[], Any]


def least(calls: list[Call], seconds: float = 1.0) -> list[float]:
    """The least time of each call, in microseconds, measured in turns."""
    counts = [max(1, timeit.Timer(call).autorange(lambda *_: None)[0] // 20) for call in calls]
    best = [float("inf")] * len(calls)
    rounds = max(5, int(seconds / 0.01 / len(calls)))
    for _ in range(rounds):
        for k, (call, count) in enumerate(zip(calls, counts, strict=True)):
            best[k] = min(best[k], timeit.timeit(call, number=count) / count)
    return [1e6 * time for time in best]


def tiny(*arrays: Any) -> Any:
    """The sum of some arrays, and twice that."""
    total = arrays[0]
    for x in arrays[1:]:
        total = total + x
    return total, 2 * total


def call_overhead(count: int) -> dict[str, float]:
    """A jitted call with ``count`` arrays of three numbers, and the generated function alone."""
    arrays = [np.arange(3.0) + n for n in range(count)]
    jitted, run = ea.jit(tiny), ea.plan(tiny, *arrays).run
    jitted(*arrays)
    calls = {"jit": lambda: jitted(*arrays), "function": lambda: run(*arrays), **jax_call(arrays)}
    return dict(zip(calls, least(list(calls.values())), strict=True))


def jax_call(arrays: list[Any]) -> dict[str, Call]:
    """The same with JAX, if it is installed."""
    try:
        jax = importlib.import_module("jax")
    except ImportError:
        return {}
    given = [jax.numpy.asarray(x) for x in arrays]
    jitted = jax.jit(tiny)
    jitted(*given)
    return {"jax.jit": lambda: jitted(*given)}


class Recorder:
    """The NumPy calls of one run of a plan, with their operands, found by following the generated function's lines."""

    def __init__(self, plan: ea.Plan, arrays: list[Any]) -> None:
        self.code = plan.run.__code__
        self.lines = _statements(plan.source())
        self.first = 4 if "borrow" in self.code.co_names else 2
        self.values: dict[str, Any] = {}
        self.text: list[str] = []
        before = sys.gettrace()
        sys.settrace(self._enter)
        try:
            plan.run(*arrays)
        finally:
            sys.settrace(before)

    def _enter(self, frame: Any, _event: str, _arg: Any) -> Any:
        return self._line if frame.f_code is self.code else None

    def _line(self, frame: Any, event: str, _arg: Any) -> Any:
        place = frame.f_lineno - self.first
        if event == "line" and 0 <= place < len(self.lines):
            for statement in ast.parse(self.lines[place]).body:
                self._record(statement, frame)
        return self._line

    def _record(self, statement: ast.stmt, frame: Any) -> None:
        if isinstance(statement, ast.Expr | ast.Assign) and isinstance(statement.value, ast.Call):
            call = statement.value
            if isinstance(call.func, ast.Attribute) and call.func.attr in ("reshape", "transpose", "diagonal"):
                return
            args = [self._prepared(arg, frame) for arg in call.args]
            args += [f"{key.arg}={self._prepared(key.value, frame)}" for key in call.keywords]
            self.text.append(f"{self._prepared(call.func, frame)}({', '.join(args)})")
        elif isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Subscript):
            target = statement.targets[0]
            place = ast.unparse(target.slice)
            self.text.append(
                f"{self._prepared(target.value, frame)}[{place}] = {self._prepared(statement.value, frame)}"
            )

    def _prepared(self, expression: ast.expr, frame: Any) -> str:
        """A local name for the value of an expression, computed here and now."""
        if isinstance(expression, ast.Constant | ast.Tuple):
            return ast.unparse(expression)
        name = f"x{len(self.values)}"
        self.values[name] = eval(ast.unparse(expression), frame.f_globals, frame.f_locals)  # the plan's own text
        return name

    def replay(self) -> Call:
        """A function that makes the same calls with the same operands, all of them in local names."""
        given = ", ".join([f"{name}={name}" for name in self.values])
        namespace = dict(self.values)
        exec("\n    ".join([f"def replay({given}):", *self.text, "pass"]), namespace)
        found: Call = namespace["replay"]
        return found


def _statements(source: str) -> list[str]:
    """The lines of a plan's function, without its head, its comments and its return."""
    body = source[source.index("\ndef plan(") + 1 if "\ndef plan(" in source else 0 :].splitlines()[1:]
    statements = [line.partition("  # ")[0].strip() for line in body]
    return [text for text in statements if text and text != "#"]  # views that are made beforehand have no line


def derivative(name: str) -> tuple[Callable[..., Any], list[Any]]:
    """A workload's value and gradient, un-jitted, with its arguments."""
    w = W[name]
    f, args = w.make()
    partial, some = by_some(lambda *a: f(np, *a), w.argnums, args)
    return ea.value_and_grad(partial, tuple(range(len(some)))), list(some)


def step_overhead(name: str) -> tuple[float, float, int]:
    """Times of a plan's function and of its bare calls, and how many there are."""
    f, args = derivative(name)
    plan = ea.plan(f, *args)
    given = [*args, *plan.constants]
    recorder = Recorder(plan, given)
    function, bare = least([lambda: plan.run(*given), recorder.replay()], 3.0)
    return function, bare, len(recorder.text)


def trace_overhead(name: str) -> tuple[float, float]:
    """Times of an un-jitted and of a jitted call."""
    f, args = derivative(name)
    jitted = ea.jit(f)
    f(*args), jitted(*args)
    traced, run = least([lambda: f(*args), lambda: jitted(*args)], 3.0)
    return traced, run


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", default="t_small_rnn,g_mps_norm", help="gradients whose plans are replayed")
    names = parser.parse_args().workloads.split(",")
    print("call of a jitted function (us)")
    for count in (1, 2, 3, 4):
        found = call_overhead(count)
        shown = "  ".join([f"{name} {time:6.2f}" for name, time in found.items()])
        print(f"  {count} arrays  {shown}  overhead {found['jit'] - found['function']:6.2f}")
    print("generated function and bare NumPy calls (us)")
    for name in names:
        function, bare, count = step_overhead(name)
        print(
            f"  {name:16s} {count:5d} calls  function {function:9.1f}  bare {bare:9.1f}  ratio {function / bare:5.2f}"
        )
    print("traced anew and jitted (us)")
    for name in names:
        traced, run = trace_overhead(name)
        print(f"  {name:16s} traced {traced:9.1f}  jitted {run:9.1f}")


if __name__ == "__main__":
    main()
