"""A hypothesis strategy for functions written with plain NumPy, as source text that can be read and run again.

A program is drawn line by line; each line is run on the example arguments at once, so that the next one knows the
shapes at hand. All lines are smooth, so that any derivative exists.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from einad.ir.expr import Array
from einad.testing.arrays import arrays, shapes

MAX_ELEMENTS = 64
MAX_VALUE = 1e3


class Program:
    """A function of arrays with its source text and example arguments; it prints as its source."""

    def __init__(self, source: str, args: Sequence[Array]) -> None:
        self.source, self.args = source, tuple(args)
        namespace: dict[str, Any] = {"np": np}
        exec(compile(source, "<program>", "exec"), namespace)
        self._function: Callable[..., Any] = namespace["f"]

    def __call__(self, *args: Any) -> Any:
        """Run the program."""
        return self._function(*args)

    def __repr__(self) -> str:
        examples = ", ".join(f"{arg.dtype} {arg.tolist()}" for arg in self.args)
        return f"{self.source}\n# called with {examples}"


class Variables:
    """The variables of a program under construction, with their example values."""

    def __init__(self, values: dict[str, Array]) -> None:
        self.values = values
        self.lines: list[str] = []

    def pick(self, draw: st.DrawFn, min_dims: int = 0) -> str:
        """A variable of at least so many axes; one with too few gets new ones."""
        name = draw(st.sampled_from(list(self.values)[::-1]))
        missing = min_dims - self.values[name].ndim
        return self.assign(f"{name}[{'np.newaxis, ' * missing}...]") if missing > 0 else name

    def like(self, draw: st.DrawFn, name: str) -> str:
        """A variable of the same shape as another, perhaps the same one."""
        same = [other for other, value in self.values.items() if value.shape == self.values[name].shape]
        return draw(st.sampled_from(same[::-1]))

    def assign(self, expression: str) -> str:
        """Add a line that names the value of an expression; large values are tamed by ``tanh``."""
        with np.errstate(all="ignore"):
            value = np.asarray(eval(expression, {"np": np}, self.values))
        if value.size and not np.max(np.abs(value)) < MAX_VALUE:
            expression, value = f"np.tanh({expression})", np.tanh(value)
        name = f"t{len(self.lines)}"
        self.lines.append(f"{name} = {expression}")
        self.values[name] = value
        return name


Line = Callable[[st.DrawFn, Variables], str]
SMOOTH = (
    "np.sin({})",
    "np.tanh({})",
    "np.square({})",
    "np.exp(-{0} * {0})",
    "np.sqrt(1 + {0} * {0})",
    "np.log1p({0} * {0})",
    "1 / (1 + {0} ** 2)",
    "-{}",
    "2.5 * {} - 1",
    "np.arctan({})",
    "{} ** 3",
)
BINARY = (
    "{} + {}",
    "{} - {}",
    "{} * {}",
    "{0} / (2 + np.cos({1}))",
    "np.hypot(1 + {0} * {0}, {1})",
    "np.logaddexp({}, {})",
)
REDUCTIONS = (
    "np.sum({}, axis={})",
    "np.mean({}, axis={}, keepdims=True)",
    "np.var({}, axis={})",
    "np.cumsum({}, axis={})",
    "np.prod({}, axis={})",
)
MOVES = (
    "{}.T",
    "{}.ravel()",
    "{}.reshape(-1, 1)",
    "np.flip({})",
    "np.roll({}, 1)",
    "np.expand_dims({}, 0)",
    "np.squeeze({})",
)
PAIRS = ("np.concatenate([{}, {}], axis={})", "np.stack([{}, {}], axis={})")


def _smooth(draw: st.DrawFn, known: Variables) -> str:
    return draw(st.sampled_from(SMOOTH)).format(known.pick(draw))


def _binary(draw: st.DrawFn, known: Variables) -> str:
    """Two variables of one shape, or of shapes that broadcast."""
    x = known.pick(draw)
    fitting = [name for name, value in known.values.items() if _broadcasts(known.values[x], value)]
    return draw(st.sampled_from(BINARY)).format(x, draw(st.sampled_from(fitting[::-1])))


def _broadcasts(x: Array, y: Array) -> bool:
    try:
        return int(np.prod(np.broadcast_shapes(x.shape, y.shape))) <= MAX_ELEMENTS
    except ValueError:
        return False


def _reduction(draw: st.DrawFn, known: Variables) -> str:
    name = known.pick(draw, 1)
    axis = draw(st.integers(-1, known.values[name].ndim - 1))
    template: str = draw(st.sampled_from(REDUCTIONS if known.values[name].shape[axis] else REDUCTIONS[:1]))
    return template.format(name, axis)


def _contraction(draw: st.DrawFn, known: Variables) -> str:
    """An einsum of two variables: labels are shared where sizes agree, and any of them may stay."""
    names = [known.pick(draw), known.pick(draw)]
    taken: list[tuple[str, int]] = []
    inputs = []
    for name in names:
        labels = ""
        for size in known.values[name].shape:
            fitting = [label for label, n in taken if n == size]
            label = draw(st.sampled_from([*fitting, chr(ord("a") + len(taken))]))
            if label not in fitting:
                taken.append((label, size))
            labels += label
        inputs.append(labels)
    letters = [label for label, _ in taken]
    output = draw(st.lists(st.sampled_from(letters), unique=True, max_size=3)) if letters else []
    return f'np.einsum("{",".join(inputs)}->{"".join(output)}", {", ".join(names)})'


def _matrix_product(draw: st.DrawFn, known: Variables) -> str:
    name = known.pick(draw, 2)
    return draw(st.sampled_from(("{0} @ np.swapaxes({0}, -1, -2)", "np.swapaxes({0}, -1, -2) @ {0}"))).format(name)


def _index(draw: st.DrawFn, known: Variables) -> str:
    name = known.pick(draw, 1)
    entries = []
    for size in known.values[name].shape:
        choices = [":", "::-1", "1:", ":-1", "::2"] + (["0", "-1"] if size else [])
        entries.append(draw(st.sampled_from(choices)))
    return f"{name}[{', '.join(entries)}]"


def _move(draw: st.DrawFn, known: Variables) -> str:
    return draw(st.sampled_from(MOVES)).format(known.pick(draw, 1))


def _join(draw: st.DrawFn, known: Variables) -> str:
    name = known.pick(draw, 1)
    axis = draw(st.integers(-1, known.values[name].ndim - 1))
    return draw(st.sampled_from(PAIRS)).format(name, known.like(draw, name), axis)


LINES: tuple[Line, ...] = (_smooth, _binary, _reduction, _contraction, _matrix_product, _index, _move, _join)


@st.composite
def _lines(draw: st.DrawFn, known: Variables) -> None:
    """One more operation, unless its result would be too large; being one draw, it can be shrunk away."""
    line = draw(st.sampled_from(LINES))
    expression = line(draw, known)
    if np.asarray(eval(expression, {"np": np}, known.values)).size <= MAX_ELEMENTS:
        known.assign(expression)


@st.composite
def functions(draw: st.DrawFn, max_inputs: int = 3, max_lines: int = 6, dtype: str = "float64") -> Program:
    """Smooth real functions of one or more arrays, with arguments to call them on.

    Contractions, pointwise functions, reductions, indexing, reshapes and joins; axes of sizes 0 to 3.

    >>> from hypothesis import find
    >>> print(find(functions(), lambda program: "einsum" in program.source).source)
    def f(x0):
        t0 = np.einsum(",->", x0, x0)
        return t0
    """
    example = shapes(2).flatmap(lambda shape: arrays(shape, dtype, step=0.25, bound=6))
    inputs = {f"x{i}": x for i, x in enumerate(draw(st.lists(example, min_size=1, max_size=max_inputs)))}
    known = Variables(dict(inputs))
    draw(_lines(known))
    for _ in range(max_lines - 1):
        if draw(st.integers(0, 3)) == 0:
            break
        draw(_lines(known))
    body = "\n    ".join([*known.lines, f"return {list(known.values)[-1]}"])
    return Program(f"def f({', '.join(inputs)}):\n    {body}", list(inputs.values()))
