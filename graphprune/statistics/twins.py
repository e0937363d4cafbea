"""A twin of a convolutional network whose channels look, on made-up inputs, as they did in training.

Batch normalisation gave each channel of a trained network a mean and a spread; on inputs unlike those it was
trained on they drift apart, the more the deeper. The twin is the network with each convolution's outputs
scaled and shifted so that they do not. Where normalisation is still in the graph it says what they were
(AdaBN: Li et al., 2016; the statistics that ZeroQ and DeepInversion, both CVPR 2020, fit inputs to). Where it
was folded into the convolution, what is known is that channels of a layer were alike, and so were layers:
made-up inputs of several kinds disagree about each by as much as they are wrong about it, and only the rest
of what sets it apart is believed (empirical Bayes: Efron and Morris, JASA 1975).

What is fitted in the twin is mapped back: outputs that are scaled and shifted are fitted by the same weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graphprune.analysis import Analysis
from graphprune.statistics.linear import Linear, find_linear
from graphprune.statistics.stages import StageModel, Store, plan_stages, run_stage

Array = NDArray[Any]
Floats = NDArray[np.float64]
Feeds = Mapping[str, Array]
ChannelMoments = NDArray[np.float64]
"""Means and spreads of channels, `(2, channels)`."""

_NORM = "BatchNormalization"
_MOST = 10.0  # times that a channel is scaled, up or down
_WRONG = 0.3  # spread of the logarithm by which pictures miss a layer's level, measured on deployed networks
_FEWEST = 4  # channels that say something of each other


@dataclass(frozen=True, slots=True)
class Moved:
    """What became of the outputs of one convolution: `scale * y + shift`, by channel."""

    weight: str
    bias: str
    scale: Floats
    shift: Floats


@dataclass(frozen=True, slots=True)
class Twin:
    """The twin of a network.

    Attributes:
        model: the network with other weights.
        analysis: of that.
        moved: its convolutions.
        moments: what training gave the channels of tensors, as far as is known, by name.
    """

    model: ir.Model
    analysis: Analysis
    moved: tuple[Moved, ...] = ()
    moments: Mapping[str, ChannelMoments] = field(default_factory=dict)

    def restored(self, weights: Mapping[str, Array]) -> dict[str, Array]:
        """Weights that were fitted in the twin, for the network itself."""
        found = dict(weights)
        for item in self.moved:
            if item.weight in found:
                array = found[item.weight]
                found[item.weight] = (array / _rows(item.scale, array.ndim)).astype(array.dtype)
            if item.bias in found:
                array = found[item.bias]
                found[item.bias] = ((array - item.shift) / item.scale).astype(array.dtype)
        return found


def make_twin(
    model: ir.Model,
    analysis: Analysis,
    batches: Sequence[Feeds],
    kinds: Sequence[int],
    budget: int = 2 << 30,
    say: Callable[[int, int], None] = lambda done, total: None,
) -> Twin | None:
    """The twin of a network on made-up inputs; None if it has no convolutions to move.

    Args:
        model: a normalised model, with biases opened.
        analysis: of that model.
        batches: made-up inputs.
        kinds: which kind of inputs each batch holds.
        budget: bytes of activations to hold in memory.
        say: told how many stages of a run have been gone through, of how many; there are two runs.
    """
    if len(set(kinds)) < 2:
        return None
    sites = [i for i in find_linear(analysis) if _can_move(i, analysis)]
    norms = [n.name for n in analysis.facts.nodes if n.op == _NORM and _inference(n.outputs)]
    if not sites and not norms:
        return None
    whole = _Walk(model, analysis, batches, kinds, budget, say)
    half = max(len(batches) // 2, *(list(kinds).index(kind) + 1 for kind in kinds))
    part = _Walk(model, analysis, batches[:half], kinds[:half], budget, say)
    return whole.twin(sites, norms, part.levels(sites))


def _inference(outputs: Sequence[str]) -> bool:
    return sum(map(bool, outputs)) == 1


def _can_move(item: Linear, analysis: Analysis) -> bool:
    """Whether an operator is a convolution over more than one position, with weights of its own."""
    shape = analysis.recording.shapes.get(item.result, ())
    node = next(n for n in analysis.facts.nodes if n.name == item.node)
    return (
        node.op == "Conv"
        and not item.why
        and not item.twins
        and item.order is None
        and bool(item.bias)
        and item.place == 2
        and item.result == item.output
        and len(shape) > 2
        and int(np.prod(shape[2:])) > 1
        and shape[1] >= _FEWEST
        and item.result not in analysis.facts.outputs
    )


@dataclass(slots=True)
class _Walk:
    """A run of a network from front to back in which weights change on the way."""

    model: ir.Model
    analysis: Analysis
    batches: Sequence[Feeds]
    kinds: Sequence[int]
    budget: int
    say: Callable[[int, int], None]
    replaced: dict[str, Array] = field(default_factory=dict)
    moments: dict[str, ChannelMoments] = field(default_factory=dict)

    def levels(self, sites: Sequence[Linear]) -> dict[str, float]:
        """The spread that the channels of each convolution should have on average, as a logarithm."""
        found: dict[str, Floats] = {}

        def look(node: str, seen: tuple[Floats, Floats]) -> None:
            found[node] = _logs(seen[1], _alive(*_pooled(*seen))).mean(axis=1)

        self._walk([i.node for i in sites], look)
        if not found:
            return {}
        by_kind = np.stack(list(found.values()), axis=1)
        wanted = shrunk(by_kind.mean(axis=0), by_kind, np.ones(len(found), bool), _WRONG**2)
        return dict(zip(found, map(float, wanted), strict=True))

    def twin(self, sites: Sequence[Linear], norms: Sequence[str], levels: Mapping[str, float]) -> Twin:
        """The network with every convolution moved and every normalisation renewed."""
        by_node = {i.node: i for i in sites}
        moved: list[Moved] = []

        def move(node: str, seen: tuple[Floats, Floats]) -> None:
            if node in by_node:
                moved.append(self._move(by_node[node], seen, levels[node]))
            else:
                self._renew(next(n.inputs for n in self.analysis.facts.nodes if n.name == node), seen)

        self._walk([*by_node, *norms], move)
        return Twin(*_with(self.model, self.analysis, self.replaced), tuple(moved), self.moments)

    def _walk(self, stops: Sequence[str], visit: Callable[[str, tuple[Floats, Floats]], None]) -> None:
        facts = self.analysis.facts
        builder, store, wanted = StageModel(self.model, facts), Store(self.budget), set(stops)
        for k, feeds in enumerate(self.batches):
            for name in facts.inputs:
                store.put(name, k, feeds[name])
        stages = plan_stages(facts, wanted)
        for number, stage in enumerate(stages):
            self.say(number, len(stages))
            for name in stage.nodes:
                if name in wanted:
                    visit(name, self._given(builder, store, name))
            self._run(builder, store, stage.nodes, sorted(stage.keeps))
            store.drop(stage.drops, len(self.batches))
        store.close()

    def _run(self, builder: StageModel, store: Store, nodes: Sequence[str], outputs: Sequence[str]) -> None:
        for k, found in enumerate(self._outputs(builder, store, nodes, outputs)):
            for name, array in found.items():
                store.put(name, k, array)

    def _outputs(
        self, builder: StageModel, store: Store, nodes: Sequence[str], outputs: Sequence[str]
    ) -> Iterator[dict[str, Array]]:
        """What nodes give, for each batch."""
        inputs = builder.inputs_of(nodes)
        feeds = [{n: store.get(n, k) for n in inputs} for k in range(len(self.batches))]
        return run_stage(builder, nodes, outputs, self.replaced, feeds)

    def _given(self, builder: StageModel, store: Store, node: str) -> tuple[Floats, Floats]:
        """Means and variances of the channels, for each kind: of a convolution's outputs, a norm's inputs."""
        facts = next(n for n in self.analysis.facts.nodes if n.name == node)
        if facts.op == _NORM:
            arrays = (store.get(facts.inputs[0], k) for k in range(len(self.batches)))
        else:
            output = facts.outputs[0]
            arrays = (f[output] for f in self._outputs(builder, store, [node], [output]))
        sums: dict[int, list[Any]] = {}
        for kind, array in zip(self.kinds, arrays, strict=True):
            axes = (0, *range(2, array.ndim))
            entry = sums.setdefault(kind, [0, 0.0, 0.0])
            entry[0] += array.size // array.shape[1]
            entry[1] = entry[1] + array.sum(axis=axes, dtype=np.float64)
            entry[2] = entry[2] + np.square(array, dtype=np.float64).sum(axis=axes)
        means = np.stack([s[1] / s[0] for s in sums.values()])
        squares = np.stack([s[2] / s[0] for s in sums.values()])
        return means, np.maximum(squares - means**2, 0)

    def _move(self, item: Linear, seen: tuple[Floats, Floats], level: float) -> Moved:
        scale, shift = standard(*seen, level)
        facts = self.analysis.facts
        weight, bias = facts.weights[item.weight].numpy(), facts.weights[item.bias].numpy()
        self.replaced[item.weight] = (weight * _rows(scale, weight.ndim)).astype(weight.dtype)
        self.replaced[item.bias] = (bias * scale + shift).astype(bias.dtype)
        mean, variance = _pooled(*seen)
        self.moments[item.output] = np.stack([mean * scale + shift, np.sqrt(variance) * scale])
        return Moved(item.weight, item.bias, scale, shift)

    def _renew(self, names: Sequence[str], seen: tuple[Floats, Floats]) -> None:
        """Give a batch normalisation the statistics of the made-up inputs."""
        if any(n not in self.analysis.facts.weights for n in names[3:5]):
            return
        mean, variance = (self.analysis.facts.weights[n].numpy() for n in names[3:5])
        self.moments[names[0]] = np.stack([mean, np.sqrt(variance)]).astype(np.float64)
        for name, values in zip(names[3:5], _pooled(*seen), strict=True):
            like = self.analysis.facts.weights[name].numpy()
            self.replaced[name] = values.astype(like.dtype)


def standard(means: Floats, variances: Floats, level: float) -> tuple[Floats, Floats]:
    """The scale and shift of each channel that bring it nearer to the others of its layer.

    Args:
        means: of each channel on each kind of inputs, `(kinds, channels)`.
        variances: the same.
        level: what the logarithms of the spreads should be on average.
    """
    mean, variance = _pooled(means, variances)
    alive = _alive(mean, variance)
    spread = np.sqrt(np.where(alive, variance, 1.0))
    logs = np.log(spread)
    found = np.zeros(len(mean))
    found[alive] = shrunk(logs[alive], _logs(variances, alive), alive[alive])
    wanted = np.exp(found - found[alive].mean() + level)
    offset = shrunk(mean / spread, means / spread, alive)
    scale = np.where(alive, np.clip(wanted / spread, 1 / _MOST, _MOST), 1.0)
    shift = np.where(alive, offset * scale * spread - mean * scale, 0.0)
    return scale, shift


def _pooled(means: Floats, variances: Floats) -> tuple[Floats, Floats]:
    """Mean and variance over all kinds of inputs."""
    return means.mean(axis=0), variances.mean(axis=0) + means.var(axis=0)


def _alive(mean: Floats, variance: Floats) -> NDArray[np.bool_]:
    """Which channels are more than a constant; all where none is."""
    found: NDArray[np.bool_] = variance > 1e-8 * max(float((variance + mean**2).mean()), 1e-30)
    return found if found.any() else ~found


def _logs(variances: Floats, alive: NDArray[np.bool_]) -> Floats:
    """Logarithms of spreads on each kind of inputs, of the channels that count."""
    some = variances[:, alive]
    return np.asarray(0.5 * np.log(np.maximum(some, 1e-8 * max(float(some.mean()), 1e-30))))


def shrunk(values: Floats, by_kind: Floats, alive: Array, least: float = 0.0) -> Floats:
    """Values drawn towards their mean as far as kinds of inputs disagree about what sets them apart.

    Args:
        values: of each channel.
        by_kind: the same as each kind of inputs has it, `(kinds, channels)`.
        alive: channels that count.
        least: the variance by which kinds together are wrong, at least.
    """
    centre = float(values[alive].mean())
    apart = float(values[alive].var())
    own = by_kind[:, alive] - by_kind[:, alive].mean(axis=1, keepdims=True)
    wrong = max(least, float(own.var(axis=0, ddof=1).mean()))
    trust = max(0.0, 1 - wrong / max(apart, 1e-12))
    return np.asarray(centre + trust * (values - centre))


def _rows(values: Floats, rank: int) -> Floats:
    return values.reshape(-1, *[1] * (rank - 1))


def _with(model: ir.Model, analysis: Analysis, weights: Mapping[str, Array]) -> tuple[ir.Model, Analysis]:
    """A copy of a model with other values for some initializers, and what is known of it."""
    copy = model.clone()
    tensors = {n: ir.Tensor(a, name=n) for n, a in weights.items()}
    for name, tensor in tensors.items():
        copy.graph.initializers[name].const_value = tensor
    facts = replace(analysis.facts, weights={**analysis.facts.weights, **tensors})
    return copy, replace(analysis, facts=facts)
