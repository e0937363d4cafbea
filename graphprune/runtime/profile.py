"""Where the time of one model goes: the runtime's kernels, and which nodes each of them computes.

The runtime fuses nodes before it runs them (Conv and Relu, the six nodes of a layer norm), lays feature
maps out anew, and names what comes out as it likes. Tensors keep their names, however: a node of the model
belongs to the kernel that makes its output, or else to the one that makes the next tensor behind it that
still exists.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir

from graphprune.runtime import storage
from graphprune.runtime.latency import take_turns
from graphprune.runtime.providers import CPU
from graphprune.runtime.session import open_session
from graphprune.runtime.values import Array

_EVENT = "_kernel_time"
_BLOCKED = "_nchwc"  # a convolution in blocked layout is named after the tensor that it makes
_WARMUP = 3


@dataclass(frozen=True, slots=True)
class Kernel:
    """One call of a kernel.

    Attributes:
        name: the runtime's name of it.
        op: the operator that it computes.
        provider: what it ran on.
        ms: time of an undisturbed call.
        nodes: names of the model's nodes that it computes; none for what the runtime put in between.
    """

    name: str
    op: str
    provider: str
    ms: float
    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Profile:
    """The kernels of a model in the order in which they run.

    Attributes:
        kernels: each with its time.
        run_ms: a whole undisturbed run without the profiler, with what lies between kernels.
    """

    kernels: tuple[Kernel, ...]
    run_ms: float

    @property
    def kernel_ms(self) -> float:
        """Time inside kernels."""
        return sum(k.ms for k in self.kernels)


def profile(
    model: ir.Model,
    feeds: Mapping[str, Array],
    *,
    runs: int = 30,
    budget_s: float = 4.0,
    threads: int | None = None,
    provider: str = "cpu",
) -> Profile:
    """Where the time of a model goes.

    Args:
        model: every node of it must have a name, as after `normalise`.
        feeds: inputs.
        runs: how often it is run at most.
        budget_s: seconds that this should take at most; a few runs are always made.
        threads: threads of one operator; None leaves it to the runtime.
        provider: see `open_session`.

    Raises:
        ModelError: the model does not run.
    """
    folder = storage.private_folder()
    try:
        optimised = folder / "optimised.onnx"
        with (
            open_session(
                model, threads=threads, provider=provider, profile=folder / "times", optimised=optimised
            ) as watched,
            open_session(model, threads=threads, provider=provider) as plain,
        ):
            # In turns: what disturbs the one then disturbs the other as well.
            times = take_turns(
                {"watched": watched.bound(feeds), "plain": plain.bound(feeds)},
                runs=runs,
                warmup=_WARMUP,
                budget_s=budget_s,
                cpu_time=threads == 1 and provider == CPU,
            )
            events = json.loads(watched.end_profile().read_text(encoding="utf-8"))
        graph = _load_graph(optimised)
        return Profile(tuple(_kernels(events, _owners(model, graph), _inner(graph))), min(times["plain"]))
    finally:
        storage.remove_folder(folder)


def _load_graph(path: Path) -> ir.Model | None:
    """The graph that the runtime wrote; None where it wrote none: not every provider's parts can be."""
    return ir.load(path) if path.is_file() else None


def _inner(graph: ir.Model | None) -> frozenset[str]:
    """Names of nodes inside bodies, whose time is counted with the node that has the body."""
    if graph is None:
        return frozenset()
    return frozenset(str(n.name) for body in graph.graph.subgraphs() for n in body)


def _kernels(
    events: list[Mapping[str, Any]], owners: Mapping[str, tuple[str, ...]], inner: frozenset[str]
) -> list[Kernel]:
    times: dict[str, list[float]] = {}
    about: dict[str, Mapping[str, Any]] = {}
    for event in events:
        name = str(event.get("name", ""))
        if event.get("cat") == "Node" and name.endswith(_EVENT) and name.removesuffix(_EVENT) not in inner:
            times.setdefault(name.removesuffix(_EVENT), []).append(float(event["dur"]) / 1e3)
            about[name.removesuffix(_EVENT)] = event["args"]
    return [
        Kernel(
            name,
            str(about[name].get("op_name", "")),
            str(about[name].get("provider", "")),
            _undisturbed(found),
            owners.get(name, ()),
        )
        for name, found in times.items()
    ]


def _undisturbed(times: list[float]) -> float:
    """The mean of the lowest quarter: other programs only add, and one whole microsecond is coarse."""
    return statistics.fmean(sorted(times)[: max(1, len(times) // 4)])


def _owners(model: ir.Model, optimised: ir.Model | None) -> dict[str, tuple[str, ...]]:
    """Names of the model's nodes that each kernel computes."""
    if optimised is None:
        return {str(n.name): (str(n.name),) for n in model.graph}
    makers: dict[str, str] = {}
    for node in optimised.graph:
        for value in node.outputs:
            makers.setdefault(str(value.name), str(node.name))
        if str(node.name).endswith(_BLOCKED):
            makers[str(node.name).removesuffix(_BLOCKED)] = str(node.name)
    found: dict[str, list[str]] = {}
    for node in model.graph:
        kernel = _maker(node, makers)
        if kernel is not None:
            found.setdefault(kernel, []).append(str(node.name))
    return {kernel: tuple(nodes) for kernel, nodes in found.items()}


def _maker(node: ir.Node, makers: Mapping[str, str]) -> str | None:
    """The kernel that makes the first tensor at or behind a node that still exists."""
    queue, seen = [node], {node}
    while queue:
        current = queue.pop(0)
        for value in current.outputs:
            if str(value.name) in makers:
                return makers[str(value.name)]
        for value in current.outputs:
            for reader, _ in value.uses():
                if reader not in seen:
                    seen.add(reader)
                    queue.append(reader)
    return None
