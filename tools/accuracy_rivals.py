"""Other pruners on the same models, at the same multiply-adds, for docs/accuracy.md.

Neither trains nor repairs here. Both take a ratio, which is searched for the budget; multiply-adds are
counted by this project's cost model on the pruned ONNX file, so that they compare. Of several criteria the
one with the best metric is taken, on the very samples that are reported: a choice in favour of the rival.

    pip install --group rivals
"""

from __future__ import annotations

import copy
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import onnx
from accuracy_methods import NotPossibleError
from accuracy_networks import Network

import graphprune
from graphprune.analysis.cost import CostModel

_HALVINGS = 7  # of the interval of ratios
_LARGEST = 0.95
Score = Callable[[Path], float]


class Rival(Protocol):
    """A pruner that is asked for a share of multiply-adds.

    Attributes:
        told: what is to be known of the result: which of its criteria was best.
    """

    told: Mapping[str, str]

    def prune(self, method: str, share: float, seed: int, out: Path) -> float:
        """Write the pruned model; gives the share that is left."""
        ...


def make_rival(family: str, network: Callable[[], Network] | None, path: Path, score: Score) -> Rival:
    """The pruner of that name.

    Raises:
        NotPossibleError: it cannot be used with this model.
    """
    if family == "onnxsim":
        return Onnxsim(path, score)
    if network is None:
        raise NotPossibleError("there is no torch network for this file")
    return TorchPruning(network(), path, score)


def macs_of(what: Any) -> int:
    """Multiply-adds of a model in ONNX."""
    return CostModel(graphprune.analyse(what)).cost().macs


def smallest_ratio(macs: Callable[[float], float], share: float) -> float:
    """The smallest ratio that leaves no more than a share; NotPossibleError if none does."""
    low, high = 0.0, _LARGEST
    least = macs(high)
    if least > share:
        raise OutOfReachError(least)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if macs(middle) <= share else (middle, high)
    return high


class OutOfReachError(NotPossibleError):
    """No ratio meets the budget."""

    def __init__(self, least: float) -> None:
        super().__init__(f"leaves {least:.0%} at least")
        self.least = least


class _Best:
    """Tries every variant and keeps the best file."""

    def __init__(self, path: Path, score: Score) -> None:
        self.told: dict[str, str] = {}
        self._score, self._dense = score, macs_of(path)

    def prune(self, method: str, share: float, seed: int, out: Path) -> float:
        """Write the best of the variants; gives the share that is left."""
        best: tuple[float, float, str, bytes] | None = None
        least, failed = 2.0, ""
        for variant in self._variants():
            try:
                left = self._make(variant, share, out)
                value = self._score(out)
            except OutOfReachError as error:
                if error.least <= least:
                    least, failed = error.least, str(error)
                continue
            except Exception as error:
                failed = _told(error)
                continue
            if best is None or value > best[0]:
                best = value, left, variant, out.read_bytes()
        if best is None:
            raise NotPossibleError(failed)
        out.write_bytes(best[3])
        self.told = {"note": best[2]}
        return best[1]

    def _variants(self) -> Iterator[str]:
        raise NotImplementedError

    def _make(self, variant: str, share: float, out: Path) -> float:
        raise NotImplementedError


def _told(error: Exception) -> str:
    """An error in one line; one without words by the line of code that raised it."""
    line = (str(error).strip().splitlines() or [""])[0] or traceback.extract_tb(error.__traceback__)[-1].line
    return f"{type(error).__name__} ({line})"


class TorchPruning(_Best):
    """Torch-Pruning on the torch network with the weights of the file.

    It is told what its users tell it: the layer that gives the outputs is left alone, and the heads of
    attention are named.
    """

    def __init__(self, network: Network, path: Path, score: Score) -> None:
        super().__init__(path, score)
        self._network = network
        self._given = onnx.load(path)
        self._counts: dict[tuple[str, float], float] = {}

    def _variants(self) -> Iterator[str]:
        yield from ("group L2, uniform", "group L2, global", "group L1, uniform", "LAMP, global")

    def _make(self, variant: str, share: float, out: Path) -> float:
        wanted = share
        for _ in range(4):  # its own count differs a little from ours
            ratio = smallest_ratio(lambda r: self._counted(variant, r), wanted)
            self._export(self._pruned(variant, ratio), out)
            left = macs_of(out) / self._dense
            if left <= share:
                return left
            wanted *= share / left * 0.995
        raise NotPossibleError("its count of multiply-adds cannot be followed")

    def _counted(self, variant: str, ratio: float) -> float:
        """The share that it says is left."""
        import torch_pruning

        def count(module: Any) -> float:
            return float(torch_pruning.utils.count_ops_and_params(module, self._network.example)[0])

        if ("dense", 0.0) not in self._counts:
            self._counts["dense", 0.0] = count(self._network.module)
        if (variant, ratio) not in self._counts:
            self._counts[variant, ratio] = count(self._pruned(variant, ratio))
        return self._counts[variant, ratio] / self._counts["dense", 0.0]

    def _pruned(self, variant: str, ratio: float) -> Any:
        import torch_pruning

        criterion, scope = variant.split(", ")
        importance = torch_pruning.importance
        score = {
            "group L2": importance.GroupMagnitudeImportance(p=2),
            "group L1": importance.GroupMagnitudeImportance(p=1),
            "LAMP": importance.LAMPImportance(p=2),
        }[criterion]
        net = copy.deepcopy(self._network)
        for parameter in net.module.parameters():
            parameter.requires_grad_(True)  # its tracing follows autograd
        pruner = torch_pruning.pruner.BasePruner(
            net.module,
            net.example,
            importance=score,
            global_pruning=scope == "global",
            pruning_ratio=ratio,
            max_pruning_ratio=0.97,
            ignored_layers=net.keep,
            num_heads=dict(net.heads),
            unwrapped_parameters=list(net.parameters.items()),
        )
        pruner.step()
        return net.module

    def _export(self, module: Any, out: Path) -> None:
        import torch

        stored = {t.name for t in self._given.graph.initializer}
        given = [i for i in self._given.graph.input if i.name not in stored]
        result = self._given.graph.output[0]
        axes = {
            v.name: {k: d.dim_param for k, d in enumerate(v.type.tensor_type.shape.dim) if d.dim_param}
            for v in (*given, result)
        }
        example = self._network.example
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module.eval(),
                example if isinstance(example, tuple) else (example,),
                str(out),
                dynamo=False,
                opset_version=18,
                input_names=[i.name for i in given],
                output_names=[result.name],
                dynamic_axes=axes,
            )
        model = onnx.load(out)
        model.metadata_props.extend(self._given.metadata_props)  # the task is named there
        onnx.save(model, out)


class Onnxsim(_Best):
    """onnxsim's pruning of attention heads and of channels, on the file it has simplified."""

    def __init__(self, path: Path, score: Score) -> None:
        import onnxsim

        super().__init__(path, score)
        try:
            self._simple = onnxsim.simplify(onnx.load(path))[0]
        except RuntimeError as error:
            raise NotPossibleError(f"it cannot read the model: {str(error).splitlines()[0]}") from error
        self._given = onnx.load(path)
        self._left: dict[tuple[str, float], float] = {}

    def _variants(self) -> Iterator[str]:
        yield from ("L2", "L1", "L2, global", "L1, global")

    def _make(self, variant: str, share: float, out: Path) -> float:
        ratio = smallest_ratio(lambda r: self._left_of(variant, r), share)
        onnx.save(self._pruned(variant, ratio), out)
        return self._left_of(variant, ratio)

    def _left_of(self, variant: str, ratio: float) -> float:
        if (variant, ratio) not in self._left:
            self._left[variant, ratio] = macs_of(self._pruned(variant, ratio)) / self._dense
        return self._left[variant, ratio]

    def _pruned(self, variant: str, ratio: float) -> onnx.ModelProto:
        from onnxsim import pruning

        norm, _, scope = variant.lower().partition(", ")
        model = onnx.ModelProto()
        model.CopyFrom(self._simple)
        model = pruning.apply_attention_head_pruning(model, ratio, importance_norm=norm)
        model = pruning.apply_structured_pruning(
            model, ratio, importance_norm=norm, global_sparsity=bool(scope)
        )
        if not model.metadata_props:
            model.metadata_props.extend(self._given.metadata_props)
        return model
