"""The stages by name and in order, and the cache of plans.

::

    graph --normalise--> fewer nodes --binarise--> at most two operands --merge_equal--> no product twice
          --batch--> repeated small steps as few larger ones --use_symmetry--> no half of a product twice
          --best_split--> parts that run at once, where that pays --lower--> calls --compile--> Plan
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple

from einad.backends.numpy import compile_program
from einad.backends.threads import split_threads
from einad.caching import Cache
from einad.ir.expr import Add, Array, Call, Einsum, Input, Literal, Map, Node, Structured, scalar_key
from einad.ir.walk import substitute, topological
from einad.lower.graph import lower
from einad.lower.order import reorder
from einad.plan.cost import graph_bytes, graph_flops
from einad.plan.paths import binarise
from einad.plan.plan import Plan
from einad.rewrite.distribute import distribute
from einad.rewrite.engine import normalise
from einad.rewrite.equal import merge_equal
from einad.rewrite.scale import share_coefficients
from einad.rewrite.selection import scale_before_scatters
from einad.rewrite.summed import sum_products
from einad.rewrite.symmetry import use_symmetry

PLANS: Cache[tuple[Plan, Any]] = Cache(512)


def prepare(roots: Sequence[Node]) -> list[Node]:
    """The graph as it should be differentiated: normal form, contraction paths chosen.

    Gradients then share the intermediate results of the value.
    """
    return binarise(normalise(roots))


def compile_plan(
    roots: Sequence[Node],
    inputs: Sequence[Node],
    fast_math: bool = False,
    threads: int | None = None,
    memory_limit: int | None = None,
) -> Plan:
    """The plan that computes ``roots`` from one array for each of ``inputs``.

    Literals become inputs behind the others, bound to their arrays, which are read at every call and never copied.
    With ``fast_math`` products may be distributed over sums, see `einad.rewrite.distribute`. ``threads`` is how many
    threads the plan may run on, by default what the process may use; see `einad.plan.split_choice`. The plan holds at
    most ``memory_limit`` bytes at once, see `einad.backends.limit`.
    """
    if fast_math:
        roots = distribute(normalise(roots), _flops)
    leaves, key = _structure(roots, inputs)
    literals = [leaf for leaf in leaves[len(inputs) :] if isinstance(leaf, Literal)]
    names = tuple([node.name if isinstance(node, Input) else f"x{n}" for n, node in enumerate(leaves)])
    plan, _ = _cached((key, names), lambda: Derived(roots), leaves, names, threads, memory_limit)
    return plan.bind([literal.value for literal in literals])


def evaluate(roots: Sequence[Node], values: Mapping[Node, Array]) -> list[Array]:
    """The values of ``roots`` given those of the inputs, or of any other nodes; new arrays that share no memory.

    Graphs of the same structure, shapes and dtypes share one plan.
    """
    leaves, key = _structure(roots, values)
    plan, _ = _cached(key, lambda: Derived(roots), leaves, None)
    return list(plan(*_arrays(leaves, values)))


def _arrays(leaves: Sequence[Node], values: Mapping[Node, Array]) -> list[Array]:
    return [leaf.value if isinstance(leaf, Literal) and leaf not in values else values[leaf] for leaf in leaves]


class Choice(NamedTuple):
    """The cheapest of several graphs with the same value, and what each would cost, in words."""

    roots: list[Node]
    note: str


FLOPS_PER_BYTE = 8
LEAST_REPEATED = 8  # nodes


def cheapest(candidates: Mapping[str, Callable[[], Sequence[Node]]]) -> Choice:
    """The candidate with the lowest estimate of ``FLOPs / 8 + bytes``, after rewriting and choosing paths.

    A machine does about eight floating-point operations of a matrix product in the time in which it moves a byte.
    """
    found: dict[str, tuple[float, list[Node], str]] = {}
    for name, derive in candidates.items():
        roots = list(derive())
        planned = prepare(roots)
        flops, nbytes = graph_flops(planned), graph_bytes(planned)
        found[name] = (flops / FLOPS_PER_BYTE + nbytes, roots, f"{name} ({flops:,} FLOPs, {nbytes:,} bytes)")
    best = min(found, key=lambda name: found[name][0])
    others = [text for name, (_, _, text) in found.items() if name != best]
    note = found[best][2] + ("; instead of " + ", ".join(others) if others else "")
    return Choice(found[best][1], note)


class Derived(NamedTuple):
    """Nodes derived from a graph, and whatever else should be kept beside their plan."""

    roots: Sequence[Node]
    extra: Any = None


def evaluate_derived(
    tag: Hashable,
    roots: Sequence[Node],
    variables: Sequence[Node],
    derive: Callable[[], Derived],
    values: Mapping[Node, Array],
) -> tuple[list[Array], Any]:
    """The values of what ``derive()`` gives, which may depend on ``roots``, ``variables`` and ``tag`` alone.

    Derived, rewritten and planned once per structure of ``roots``: a function traced anew reuses the plan, and gets
    the ``extra`` of the first time.
    """
    leaves, key = _structure(roots, values)
    places = {leaf: n for n, leaf in enumerate(leaves)}
    key = (tag, tuple([(places.get(x), x.shape, x.dtype.str) for x in variables]), key)
    plan, extra = _cached(key, derive, leaves, None)
    return list(plan(*_arrays(leaves, values))), extra


def clear_cache() -> None:
    """Forget all plans."""
    PLANS.clear()


def _flops(node: Node) -> int:
    return graph_flops(prepare([node]))


def _cached(
    key: Hashable,
    derive: Callable[[], Derived],
    leaves: Sequence[Node],
    names: Sequence[str] | None,
    threads: int | None = None,
    memory_limit: int | None = None,
) -> tuple[Plan, Any]:
    """The plan of this structure, made now if it is not among the 512 used last; failures are not kept."""
    count = split_threads() if threads is None else threads
    key = key, count, threads is None, memory_limit
    found = PLANS.get(key)
    if found is not None:
        return found
    derived = derive()
    plan = _plan(derived.roots, leaves, names, count, threads is not None, memory_limit)
    made = plan, derived.extra
    PLANS.put(key, made)
    return made


def _plan(
    roots: Sequence[Node],
    leaves: Sequence[Node],
    names: Sequence[str] | None,
    threads: int = 1,
    forced: bool = False,
    memory_limit: int | None = None,
) -> Plan:
    """All stages. Leaves are replaced by inputs of the plan's own, so that it keeps no array alive."""
    named = names or [f"x{n}" for n in range(len(leaves))]
    inputs = [
        Input(name, leaf.shape, leaf.dtype, ("plan", n))
        for n, (name, leaf) in enumerate(zip(named, leaves, strict=True))
    ]
    graph = substitute(roots, dict(zip(leaves, inputs, strict=True)))
    merged = scale_before_scatters(share_coefficients(sum_products(merge_equal(binarise(normalise(graph))))))
    batched = _batched(merged)
    graph = use_symmetry(batched)
    made = _in_parts(graph, inputs, threads, forced) or compile_graph(graph, inputs)
    if memory_limit is None or made.peak_bytes <= memory_limit:
        return made
    others = [] if batched == merged else [use_symmetry(merged)]
    within: Plan = _late("backends.limit").plan_within([graph, *others], inputs, memory_limit)
    return within


def _batched(graph: list[Node]) -> list[Node]:
    """Repeated small steps batched; few nodes repeat nothing."""
    if len(topological(graph)) < LEAST_REPEATED:
        return graph
    found: list[Node] = _late("rewrite.batch").batch(graph)
    return found


def _in_parts(graph: Sequence[Node], inputs: Sequence[Input], threads: int, forced: bool) -> Plan | None:
    """The plan in parts for several threads, where that is estimated to be faster, or forced."""
    if threads < 2:
        return None
    found: Plan | None = _late("backends.parts").best_in_parts(graph, inputs, threads, forced, compile_graph)
    return found


def _late(name: str) -> Any:
    """A module that is loaded when it is first needed, to keep the import of einad short."""
    return import_module(f"einad.{name}")


def compile_graph(graph: Sequence[Node], inputs: Sequence[Input]) -> Plan:
    """The last stages, for a graph of pairwise contractions."""
    return compile_program(reorder(lower(graph, inputs)))


def _structure(roots: Sequence[Node], given: Sequence[Node] | Mapping[Node, Any]) -> tuple[list[Node], Hashable]:
    """The leaves of a graph, and a key that isomorphic graphs share.

    ``given`` are leaves whatever stands below them. A sequence keeps its order and all its members; of a mapping only
    what the graph needs is taken, in the order in which it is met. Literals follow.
    """
    stop = given if isinstance(given, Mapping) else dict.fromkeys(given)
    leaves: list[Node] = [] if isinstance(given, Mapping) else list(given)
    places = {leaf: n for n, leaf in enumerate(leaves)}
    numbers: dict[Node, int] = {}
    entries: list[Hashable] = [(leaf.shape, leaf.dtype.str) for leaf in leaves]
    for node in topological(roots, stop):
        if node in stop or isinstance(node, Literal):
            if node not in places:
                places[node] = len(leaves)
                leaves.append(node)
            entries.append(("leaf", places[node], node.shape, node.dtype.str))
        else:
            entries.append(_entry(node, tuple([numbers[child] for child in node.children])))
        numbers[node] = len(numbers)
    entries.append(tuple([numbers[root] for root in roots]))
    return leaves, tuple(entries)


def _entry(node: Node, children: tuple[int, ...]) -> Hashable:
    """What makes a node differ from another of the same children."""
    if isinstance(node, Einsum):
        return "einsum", node.spec, node.sizes, scalar_key(node.coefficient), node.dtype.str, children
    if isinstance(node, Map):
        return "map", node.row, children
    if isinstance(node, Add):
        return "add", children
    if isinstance(node, Call):
        return "call", node.row, node.params, children
    if isinstance(node, Structured):
        return type(node), node.shape, node.dtype.str, *[getattr(node, field) for field in node.fields], children
    assert isinstance(node, Input)
    raise KeyError(f"no value was given for the input {node.name!r}")
