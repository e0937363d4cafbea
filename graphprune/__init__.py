"""graphprune: makes a trained ONNX model physically smaller, and proves what it did.

    result = graphprune.prune("model.onnx", ratio=0.5, output="model.pruned.onnx")
    result.report["after"]["params"]

    analysis = graphprune.analyse("model.onnx")
    [group.key for group in analysis.groups if not group.frozen]

    graphprune.apply(result.plan, "fine_tuned.onnx", output="fine_tuned.pruned.onnx")

Everything is imported when it is first used, so that `import graphprune` is instant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from graphprune.api import Result as Result
    from graphprune.api import analyse as analyse
    from graphprune.api import apply as apply
    from graphprune.api import bench as bench
    from graphprune.api import evaluate as evaluate
    from graphprune.api import prune as prune
    from graphprune.api import rotate as rotate
    from graphprune.api import verify as verify
    from graphprune.errors import GraphPruneError as GraphPruneError
    from graphprune.plan import Plan as Plan
    from graphprune.version import __version__ as __version__

_WHERE = {
    "GraphPruneError": "graphprune.errors",
    "Plan": "graphprune.plan",
    "Result": "graphprune.api",
    "__version__": "graphprune.version",
    "analyse": "graphprune.api",
    "apply": "graphprune.api",
    "bench": "graphprune.api",
    "evaluate": "graphprune.api",
    "prune": "graphprune.api",
    "rotate": "graphprune.api",
    "verify": "graphprune.api",
}

__all__ = [
    "GraphPruneError",
    "Plan",
    "Result",
    "__version__",
    "analyse",
    "apply",
    "bench",
    "evaluate",
    "prune",
    "rotate",
    "verify",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for."""
    if name not in _WHERE:
        raise AttributeError(f"module 'graphprune' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_WHERE[name]), name)
