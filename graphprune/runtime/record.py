"""Records the shape of every tensor of a model by running it twice, at different free sizes.

A size that is the same in both runs is static. Where the model refuses all that is made up, inputs of the
user's are tried. Where it cannot run (an operator of its own, no ONNX Runtime, not enough memory) static
inference takes over, and the recording says so. Large weights are not read: others stand in for them
(`standins`).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx_ir as ir

from graphprune.errors import ModelError, RuntimeMissingError
from graphprune.load.view import bodies_of
from graphprune.runtime import bodies, storage
from graphprune.runtime.dimensions import Key, Sizes, free_dimensions, input_shape, real_inputs, sizes_in
from graphprune.runtime.feeds import random_feeds
from graphprune.runtime.infer import infer_shapes
from graphprune.runtime.positions import SHAPE_POSITIONS
from graphprune.runtime.probe import Probes, add_probes, plan_probes, without
from graphprune.runtime.recording import Array, Recording, Shapes, frozen
from graphprune.runtime.session import Session, open_session
from graphprune.runtime.sizes import choose_sizes, other_sizes
from graphprune.runtime.standins import with_stand_ins
from graphprune.runtime.suspects import suspects

_MOST_VALUES = 1 << 14
_MOST_RETRIES = 16

Examples = Callable[[], Sequence[Mapping[str, Array]]]
"""Gives inputs of the user's, which are read only if they are needed."""


@dataclass(frozen=True, slots=True)
class _Run:
    """One successful run: what went in and what came out."""

    sizes: Sizes
    feeds: Mapping[str, Array]
    shapes: Shapes
    values: Mapping[str, Array]


def record(
    model: ir.Model, seed: int = 0, given: Sequence[Sizes] = (), examples: Examples = tuple
) -> Recording:
    """The concrete shape of every tensor of `model` and of the bodies in it, at two sizes.

    Args:
        model: a model with unique tensor names; it is not changed.
        seed: of the random inputs.
        given: sizes of the free dimensions in inputs that the user has, the most frequent first.
        examples: some of these inputs, the likeliest first; asked for if nothing that is made up runs.

    Raises:
        ModelError: even the sizes of the inputs cannot be determined.
    """
    try:
        with with_stand_ins(model) as lighter:
            if lighter is not model:
                with suppress(ModelError):  # perhaps it runs with its own weights only
                    return _measured(model, lighter, seed, given, examples)
        return _measured(model, model, seed, given, examples)
    except (ModelError, RuntimeMissingError) as error:
        return _inferred(model, f"shapes are inferred, not measured: {error}", given)


def _measured(
    model: ir.Model, twin: ir.Model, seed: int, given: Sequence[Sizes], examples: Examples
) -> Recording:
    """What runs of `twin`, which has the tensors of `model`, tell of `model`."""
    _check_memory(twin)
    with _open_probed(twin) as (session, probes):
        found = _watched(model, session, probes, seed, given, examples)
    return _with_bodies(twin, found, seed) if bodies.has_bodies(model.graph) else found


def _check_memory(model: ir.Model) -> None:
    """Refuse to run what would not fit; the runtime would be killed rather than complain."""
    needed, there = storage.stored_bytes(model), _free_memory()
    if there is not None and needed > there:
        raise ModelError(f"the weights take {needed >> 20} MiB, of memory {there >> 20} MiB are free")


def _free_memory() -> int | None:
    """Bytes of memory that are available, or None where the system does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        return None
    return None


@contextmanager
def _open_probed(model: ir.Model) -> Iterator[tuple[Session, Probes]]:
    """A session of `model` in which every tensor's shape is an output."""
    folder = storage.private_folder()
    try:
        path = storage.write_model(model, folder, external=True)
        bare = path.read_bytes()
        probes = plan_probes(model)
        for _ in range(_MOST_RETRIES):
            path.write_bytes(bare)
            add_probes(path, probes)
            try:
                session = open_session(path, optimise=False, lean=True)
                break
            except ModelError as error:
                fewer = without(probes, str(error))
                if fewer is None:
                    raise
                probes = fewer
        else:
            raise ModelError("too many tensors of the model have no shape")
        with session:
            yield session, probes
    finally:
        storage.remove_folder(folder)


def _watched(
    model: ir.Model,
    session: Session,
    probes: Probes,
    seed: int,
    given: Sequence[Sizes],
    examples: Examples,
) -> Recording:
    """Run at the first pair of sizes that the model accepts, else on the user's own inputs."""
    done: dict[tuple[tuple[Key, int], ...], _Run | ModelError] = {}

    def attempt(sizes: Sizes, seed: int) -> _Run | ModelError:
        key = tuple(sizes.items())
        if key not in done:
            try:
                done[key] = _run(model, session, probes, sizes, seed)
            except ModelError as error:
                done[key] = error
        return done[key]

    def moved(first: _Run, second: _Run) -> _Run:
        """A second run at other lengths, where the model has one."""
        for sizes in other_sizes(model, (dict(first.sizes), dict(second.sizes))):
            found = attempt(sizes, seed + 1)
            if isinstance(found, _Run) and _as_many(model, first, second, found):
                return found
        return second

    for first_sizes, second_sizes in choose_sizes(model, given):
        first = attempt(first_sizes, seed)
        if isinstance(first, _Run):
            # Other numbers the second time, so that what depends on data shows.
            second = attempt(second_sizes, seed + 1)
            if isinstance(second, _Run):
                second = moved(first, second)
                return _recording(model, probes, first, second, _note(first, second))
    runs = [outcome for outcome in done.values() if isinstance(outcome, _Run)]
    if runs:
        return _recording(model, probes, runs[0], runs[0], "the model ran at one size only")
    error = next(outcome for outcome in done.values() if isinstance(outcome, ModelError))
    own = examples()
    pair = _on_given(model, session, probes, own)
    if pair is None:
        raise ModelError(f"{error}{_advice(model, str(error), len(done), bool(own))}")
    first, second = pair
    note = _note(first, second) if second is not first else "the model ran at one size only"
    found = _recording(model, probes, first, second, note)
    return replace(found, given=(first.feeds, second.feeds) if second is not first else (first.feeds,))


def _on_given(
    model: ir.Model, session: Session, probes: Probes, examples: Sequence[Mapping[str, Array]]
) -> tuple[_Run, _Run] | None:
    """Runs on two of the user's inputs, as far apart in size as they come; None if the model refuses all."""
    pair: tuple[_Run, _Run] | None = None
    for run in filter(None, (_shown(model, session, probes, feeds) for feeds in examples)):
        if pair is None:
            pair = run, run
        elif pair[1] is pair[0] or _apart(pair[0], run) > _apart(*pair):
            pair = pair[0], run
        if 0 < len(run.sizes) == _apart(*pair):
            break
    return pair


def _shown(model: ir.Model, session: Session, probes: Probes, feeds: Mapping[str, Array]) -> _Run | None:
    """A run on inputs of the user's; None if the model refuses them too."""
    sizes = sizes_in(model, {name: array.shape for name, array in feeds.items()})
    if sizes is None:
        return None
    try:
        return _Run(sizes, feeds, *_observe(session, probes, feeds))
    except ModelError:
        return None


def _apart(first: _Run, second: _Run) -> int:
    """How many free dimensions differ."""
    return sum(size != second.sizes[key] for key, size in first.sizes.items())


def _as_many(model: ir.Model, first: _Run, second: _Run, found: _Run) -> bool:
    """Whether outputs have as many samples at other lengths: a stale Reshape can make two samples of one."""
    for name in (str(value.name) for value in model.graph.outputs):
        one, two, three = (run.shapes.get(name, ()) for run in (first, second, found))
        if not len(one) == len(two) == len(three):
            return False
        if any(a != b and b != c for a, b, c in zip(one, two, three, strict=True)):
            return False
    return True


def _advice(model: ir.Model, error: str, tried: int, given: bool) -> str:
    """What to give for a model that ran on nothing: not at several sizes, nor on what was given."""
    free = ", ".join(map(_written, free_dimensions(model)))
    same = f" (the same at {tried - 1} other choices of {free})" if tried > 1 else ""
    if given:
        return f"{same}, nor on the inputs that were given (--calib): give such as it takes"
    doubtful = suspects(model, error)
    if doubtful:
        return f"{same}: give inputs that it takes (--calib), numbers made up for {doubtful} may not suit it"
    return f"{same}: give inputs of sizes that it takes (--calib)" if tried > 1 else ""


def _written(key: Key) -> str:
    return key if isinstance(key, str) else f"{key[0]}[{key[1]}]"


def _with_bodies(model: ir.Model, recording: Recording, seed: int) -> Recording:
    """Add what is inside the bodies of If, Loop and Scan; a body that cannot run by itself is left out."""
    second = recording.given[-1] if recording.given else random_feeds(model, recording.sizes_second, seed + 1)
    feeds = [recording.feeds, second]
    computed = bodies.fetch(model, bodies.needed_values(model.graph), feeds)
    around = [{**f, **c} for f, c in zip(feeds, computed, strict=True)]
    return bodies.merged(recording, _bodies(model.graph, model, around))


def _bodies(graph: ir.Graph, model: ir.Model, around: list[dict[str, Array]]) -> Iterator[Recording]:
    stored = {
        n: v.const_value.numpy()
        for n, v in model.graph.initializers.items()
        if v.const_value is not None and _is_small_stored(v)
    }
    for node in graph:
        for body in bodies_of(node):
            given = [bodies.feeds_of(node, body, {**stored, **values}) for values in around]
            try:
                own = bodies.as_model(body, model, given[0])
                names = {v.name for v in own.graph.inputs if v.name not in own.graph.initializers}
                given = [{n: a for n, a in values.items() if n in names} for values in given]
                with _open_probed(own) as (session, probes):
                    first, second = (_fed_run(session, probes, values) for values in given)
                yield _recording(own, probes, first, second, "")
                inner = bodies.fetch(own, bodies.needed_values(own.graph), given)
                yield from _bodies(own.graph, own, [{**f, **c} for f, c in zip(given, inner, strict=True)])
            except ModelError:
                continue


def _is_small_stored(value: ir.Value) -> bool:
    return value.const_value is not None and value.const_value.dtype != ir.DataType.STRING


def _fed_run(session: Session, probes: Probes, feeds: Mapping[str, Array]) -> _Run:
    shapes, values = _observe(session, probes, feeds)
    return _Run({}, feeds, {**{n: a.shape for n, a in feeds.items()}, **shapes}, values)


def _note(first: _Run, second: _Run) -> str:
    """Which free dimensions had to have the same size in both runs."""
    same = [_written(key) for key in first.sizes if first.sizes[key] == second.sizes[key]]
    return f"recorded at one size of {', '.join(same)}" if same else ""


def _run(model: ir.Model, session: Session, probes: Probes, sizes: Sizes, seed: int) -> _Run:
    feeds = random_feeds(model, sizes, seed)
    return _Run(sizes, feeds, *_observe(session, probes, feeds))


def _observe(
    session: Session, probes: Probes, feeds: Mapping[str, Array]
) -> tuple[Shapes, Mapping[str, Array]]:
    """Shapes and shape-like values of one run."""
    found = session.run(feeds, probes.outputs)
    shapes = {
        name: tuple(found[output].tolist()) for name, output in probes.shapes.items() if output in found
    }
    values = {name: found[name] for name in probes.values if name in found}
    shapes |= {name: value.shape for name, value in values.items()}
    return shapes, {name: value for name, value in values.items() if _is_shape_like(value)}


def _is_shape_like(value: Array) -> bool:
    return value.size <= _MOST_VALUES and value.dtype.kind in "iubf"


def _recording(model: ir.Model, probes: Probes, first: _Run, second: _Run, note: str) -> Recording:
    stored, constants = _stored(model)
    return Recording(
        shapes=frozen({**stored, **{n: a.shape for n, a in first.feeds.items()}, **first.shapes}),
        second=frozen({**stored, **{n: a.shape for n, a in second.feeds.items()}, **second.shapes}),
        values=frozen({**constants, **_fed(model, first.feeds), **first.values}),
        values_second=frozen({**constants, **_fed(model, second.feeds), **second.values}),
        shape_only=probes.shape_only | frozenset(constants),
        feeds=frozen(first.feeds),
        sizes=frozen(first.sizes),
        sizes_second=frozen(second.sizes),
        method="run",
        note=note,
    )


def _inferred(model: ir.Model, note: str, given: Sequence[Sizes] = ()) -> Recording:
    """A recording by static inference at the first pair of sizes."""
    first, second = next(choose_sizes(model, given))
    stored, constants = _stored(model)
    return Recording(
        shapes=frozen({**stored, **infer_shapes(model, first)}),
        second=frozen({**stored, **infer_shapes(model, second)}),
        values=frozen(constants),
        values_second=frozen(constants),
        shape_only=plan_probes(model).shape_only | frozenset(constants),
        feeds=MappingProxyType({}),
        sizes=frozen(first),
        sizes_second=frozen(second),
        method="inference",
        note=note,
    )


def _input_shapes(model: ir.Model, sizes: Sizes) -> dict[str, tuple[int, ...]]:
    return {str(value.name): input_shape(value, sizes) for value in real_inputs(model)}


def _stored(model: ir.Model) -> tuple[dict[str, tuple[int, ...]], dict[str, Array]]:
    """Shapes of all initializers, and the values of those that are read as a shape."""
    shapes: dict[str, tuple[int, ...]] = {}
    values: dict[str, Array] = {}
    for name, value in model.graph.initializers.items():
        tensor = value.const_value
        if tensor is None:
            continue
        shapes[name] = tuple(tensor.shape.numpy())
        if tensor.size <= _MOST_VALUES and tensor.dtype != ir.DataType.STRING and _read_as_shape(value):
            values[name] = np.asarray(tensor.numpy())
    return shapes, values


def _fed(model: ir.Model, feeds: Mapping[str, Any]) -> dict[str, Array]:
    """The inputs that are read as a shape."""
    inputs = {str(value.name): value for value in real_inputs(model)}
    return {
        name: array
        for name, array in feeds.items()
        if array.ndim <= 1 and array.size <= _MOST_VALUES and _read_as_shape(inputs[name])
    }


def _read_as_shape(value: ir.Value) -> bool:
    return any(position in SHAPE_POSITIONS.get(node.op_type, ()) for node, position in value.uses())


__all__ = ["Recording", "record"]
