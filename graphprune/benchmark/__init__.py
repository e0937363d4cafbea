"""How fast models are, against each other and against what their multiply-adds promise, and why.

points.py       which inputs they are timed on
ratios.py       percentiles, and ratios with an interval
fresh.py        load time and peak memory, each in a process of its own; child.py: that process
layers.py       two models layer by layer: which got no faster, and why
bench.py        all of it as plain data
"""

from graphprune.benchmark.bench import BenchOptions, run_bench
from graphprune.benchmark.points import parse_batches, parse_shapes

__all__ = ["BenchOptions", "parse_batches", "parse_shapes", "run_bench"]
