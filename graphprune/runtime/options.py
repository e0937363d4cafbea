"""Session options: what the runtime may do to a graph, with how many threads, how loudly."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from graphprune.errors import UsageError
from graphprune.runtime.ort import onnxruntime

FATAL_ONLY = 4
_LEVELS: Mapping[str, str] = {
    "none": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}
LEVELS = tuple(_LEVELS)


def session_options(
    level: str,
    threads: int | None,
    lean: bool,
    profile: Path | None = None,
    optimised: Path | None = None,
    arena: bool = True,
) -> Any:
    """Session options that print nothing and let other sessions have the processor between runs.

    Args:
        level: one of `LEVELS`: how far the runtime may optimise the graph.
        threads: threads of one operator; None leaves it to the runtime.
        lean: spend time to save memory.
        profile: time every operator, and write that to files whose names begin so.
        optimised: write the graph as it is after optimisation to this file.
        arena: keep the memory of one run for the next.

    Raises:
        UsageError: no such level, or a number of threads below one.
    """
    if level not in _LEVELS:
        raise UsageError(f"unknown optimisation level {level!r}: choose one of {', '.join(LEVELS)}")
    if threads is not None and threads < 1:
        raise UsageError(f"the number of threads must be at least 1, got {threads}")
    ort = onnxruntime()
    options = ort.SessionOptions()
    options.log_severity_level = FATAL_ONLY
    options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, _LEVELS[level])
    if threads is not None:
        options.intra_op_num_threads = threads
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    if optimised is not None:
        options.optimized_model_filepath = str(optimised)
    if lean or not arena:
        options.enable_cpu_mem_arena = False
    if lean:
        options.enable_mem_pattern = False
        options.execution_order = ort.ExecutionOrder.PRIORITY_BASED
        options.add_session_config_entry("session.disable_prepacking", "1")
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options
