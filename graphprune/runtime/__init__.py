"""ONNX Runtime as graphprune uses it: open, feed, record shapes, time.

    ort.py          the one door to the runtime, and its errors in one line
    storage.py      models on disk for the runtime, which is always given a path
    session.py      Session: named arrays in, named arrays out
    options.py      how a session is opened; values.py: arrays in and out of the runtime
    providers.py    what a model can run on, by short name
    dimensions.py   the free dimensions of the inputs
    consumers.py    what the readers of an input say about its sizes
    sizes.py        which sizes to try; stale.py: those that an exporter left in the graph;
                    demands.py: those that products ask for
    meaning.py      what whole-number inputs index; cached.py: lengths that attention with a cache asks for;
                    feeds.py: random inputs; suspects.py: which of them a model may refuse
    positions.py    which operator inputs are sizes rather than data
    probe.py        exposes shapes; record.py: two runs -> recording.py; infer.py: without a run
    bodies.py       bodies run by themselves; inside.py: what they hold, brought out
    latency.py      sessions timed in turns
    profile.py      where the time of one model goes, operator by operator
    kernels.py      which widths are fast on this machine; cache.py: what is measured once
    environment.py  machine and versions

Only `ort.py` imports onnxruntime, and only when a session is opened.
"""

from graphprune.runtime.environment import Environment, environment
from graphprune.runtime.feeds import choose_sizes, free_dimensions, random_feeds
from graphprune.runtime.latency import interleaved, median
from graphprune.runtime.record import record
from graphprune.runtime.recording import Recording
from graphprune.runtime.session import Port, Session, open_session

__all__ = [
    "Environment",
    "Port",
    "Recording",
    "Session",
    "choose_sizes",
    "environment",
    "free_dimensions",
    "interleaved",
    "median",
    "open_session",
    "random_feeds",
    "record",
]
