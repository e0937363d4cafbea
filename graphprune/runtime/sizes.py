"""Chooses sizes for the free dimensions: pairs to run a model at, the likeliest first.

Two runs tell which sizes are static, so the two of a pair differ in every free dimension where the
model allows it. They are distinct primes where it allows that too: then a batch of 2 never looks like
half of a width of 4. A model that needs more (multiples of 32, a square image, the size its position
table was trained for) refuses the earlier pairs at once, and refusing is cheap.
"""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import onnx_ir as ir

from graphprune.runtime.consumers import known_sizes
from graphprune.runtime.dimensions import Key, free_dimensions, input_dims, real_inputs
from graphprune.runtime.stale import stale_sizes

Pair = tuple[dict[Key, int], dict[Key, int]]


class Role(StrEnum):
    """What a free dimension counts, as far as its name and place tell."""

    BATCH = "batch"
    TOKENS = "tokens"
    FRAMES = "frames"
    SOUND = "sound"
    SPACE = "space"


@dataclass(frozen=True, slots=True)
class Free:
    """A free dimension: its key, what it counts, and the index of it among those of its kind."""

    key: Key
    role: Role
    index: int
    anonymous: bool


# Sizes of the first and second run, for several dimensions of one role. A later entry is tried when the
# model refuses the earlier ones.
Table = tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]

_BATCH = ((3, 2), (1, 1), (2, 2))
_TOKENS: Table = (
    ((7, 13, 19, 29, 37), (11, 17, 23, 31, 41)),
    ((16,), (32,)),
    ((8,), (8,)),
    ((1,), (1,)),
)
# Long enough that a stride of 32 still leaves different lengths.
_FRAMES: Table = (
    ((67, 83, 101), (131, 149, 167)),
    ((64, 96), (160, 224)),
    ((512,), (512,)),
    ((3000,), (3000,)),
    ((16,), (16,)),
    ((1,), (1,)),
)
# Samples: a tenth of a second and more; then the windows of streaming models.
_SOUND: Table = (
    ((1600, 1760), (3200, 3520)),
    ((67, 83, 101), (131, 149, 167)),
    ((512,), (1024,)),
    ((16000,), (24000,)),
    ((512,), (512,)),
    ((16000,), (16000,)),
    ((1,), (1,)),
)
_PLANE: Table = (
    ((67, 101), (139, 173)),
    ((64, 96), (160, 224)),
    ((128, 192), (320, 256)),
    ((96, 96), (160, 160)),
    ((48, 96), (48, 160)),
    ((32, 96), (32, 160)),
    *(((size, size), (size, size)) for size in (224, 256, 384, 299, 64, 32, 28, 448, 512, 640)),
)
_VOLUME: Table = (
    ((23, 37, 53), (43, 61, 79)),
    ((32, 64, 96), (64, 96, 160)),
    ((16, 112, 112), (16, 112, 112)),
    ((8, 224, 224), (8, 224, 224)),
    ((64, 64, 64), (64, 64, 64)),
)

_MOST_PAIRS = 160

_NAMES: tuple[tuple[Role, re.Pattern[str]], ...] = (
    (Role.BATCH, re.compile(r"batch|^(n|b|bs|bsz)$", re.IGNORECASE)),
    (Role.SPACE, re.compile(r"height|width|^(h|w)$|spatial", re.IGNORECASE)),
    (Role.TOKENS, re.compile(r"seq|token|past|text|len|^(s|t|l)$", re.IGNORECASE)),
    (Role.FRAMES, re.compile(r"frame|time|audio|sample|step|feature", re.IGNORECASE)),
)
# Names that exporters invent for each axis of each input, so that equal sizes have unequal names.
_INVENTED = re.compile(r"unk__|dynamic_axes|DynamicDimension|_dim_|^dim", re.IGNORECASE)


def choose_sizes(model: ir.Model) -> Iterator[Pair]:
    """Candidate sizes for two runs, likeliest first; both are empty when nothing is free.

    The two of a pair are equal where only one size can be expected to work.
    """
    seen: set[tuple[tuple[int, int], ...]] = set()
    fixed = _known(model)
    free = [item for item in _classify(model) if item.key not in fixed]
    stale = stale_sizes(model) if any(item.role is not Role.BATCH for item in free) else ()
    for first, second in _candidates(free, stale):
        signature = tuple((first[item.key], second[item.key]) for item in free)
        if signature not in seen:
            seen.add(signature)
            yield {**fixed, **first}, {**fixed, **second}
        if len(seen) == _MOST_PAIRS:
            return


def _known(model: ir.Model) -> dict[Key, int]:
    """Free dimensions that the weights leave no choice about."""
    keys = set(free_dimensions(model))
    found: dict[Key, int] = {}
    for value in real_inputs(model):
        dims = input_dims(value)
        for axis, size in known_sizes(value, len(dims)).items():
            dim = dims[axis]
            if not isinstance(dim, int) and dim in keys:
                found.setdefault(dim, size)
    return found


def _classify(model: ir.Model) -> list[Free]:
    """The free dimensions with their roles."""
    keys = set(free_dimensions(model))
    found: dict[Key, Free] = {}
    counts: dict[Role, int] = dict.fromkeys(Role, 0)
    for value in real_inputs(model):
        dims = input_dims(value)
        space = _space_axes(dims)
        for axis, key in enumerate(dims):
            if isinstance(key, int) or key in found or key not in keys:
                continue
            role = _role(value, dims, axis)
            # Height and width go by their place, so that several images get the same sizes.
            index = space.index(axis) if role is Role.SPACE and axis in space else counts[role]
            anonymous = not isinstance(key, str) or _INVENTED.search(key) is not None
            counts[role] += not anonymous
            found[key] = Free(key, role, 0 if anonymous and role is not Role.SPACE else index, anonymous)
    return list(found.values())


def _role(value: ir.Value, dims: Sequence[int | Key], axis: int) -> Role:
    """What axis `axis` of an input counts: by its name if that says, else by its place."""
    key = dims[axis]
    named = isinstance(key, str) and _INVENTED.search(key) is None
    if named:
        for role, pattern in _NAMES:
            if pattern.search(str(key)):
                return _by_type(role, value)
    if axis == 0:
        return Role.BATCH
    if axis in _space_axes(dims):
        return Role.SPACE
    return _by_type(Role.TOKENS, value)


def _by_type(role: Role, value: ir.Value) -> Role:
    """Lengths of whole numbers count tokens; those of real numbers, frames or samples."""
    if role not in (Role.TOKENS, Role.FRAMES, Role.SOUND):
        return role
    real = value.dtype is not None and value.dtype.is_floating_point()
    rank = 0 if value.shape is None else len(value.shape)
    if not real or rank > 3:  # a cache of keys and values has four axes, and real numbers per token
        return Role.TOKENS
    return (
        Role.SOUND
        if rank == 2 or (rank == 3 and value.shape is not None and value.shape[1] in (1, 2))
        else Role.FRAMES
    )


def _space_axes(dims: Sequence[int | Key]) -> tuple[int, ...]:
    """The axes of an image or a volume: after the channels, or before them when they come last."""
    if len(dims) not in (4, 5):
        return ()
    last, first = dims[-1], dims[1]
    channels_last = isinstance(last, int) and last <= 4 and not (isinstance(first, int) and first <= 4)
    return tuple(range(1, len(dims) - 1)) if channels_last else tuple(range(2, len(dims)))


def _candidates(free: Sequence[Free], stale: Sequence[int]) -> Iterator[Pair]:
    """Pairs in order of how far down the lists they reach.

    Going to a batch of one counts as three steps down: a model that insists on it shows so late in a
    run, so the long lists should not be gone through first.
    """
    tables = _tables(free, stale)
    batches = _BATCH if any(item.role is Role.BATCH for item in free) else _BATCH[:1]
    ranges = [range(len(batches)), *(range(len(table)) for table in tables.values())]
    orders = sorted(itertools.product(*ranges), key=lambda order: (sum(order) + 2 * order[0], order))
    for order, shared in itertools.product(orders, (False, True)):
        choice = {role: tables[role][at] for role, at in zip(tables, order[1:], strict=True)}
        batch = batches[order[0]]
        yield _sizes(free, choice, batch, shared, 0), _sizes(free, choice, batch, shared, 1)


def _tables(free: Sequence[Free], stale: Sequence[int]) -> Mapping[Role, Table]:
    """The list of sizes to go through for each role that occurs, but for the batch."""
    deepest = max((item.index for item in free if item.role is Role.SPACE), default=0)
    named = len({item.key for item in free if item.role in (Role.TOKENS, Role.FRAMES)})
    baked = _only(stale, named)
    tables = {
        Role.TOKENS: (*_TOKENS[:2], *baked, *_TOKENS[2:]),
        Role.FRAMES: (*_FRAMES[:2], *baked, *_FRAMES[2:]),
        Role.SOUND: _SOUND,
        Role.SPACE: _VOLUME if deepest > 1 else _PLANE,
    }
    present = {item.role for item in free}
    return {role: table for role, table in tables.items() if role in present}


def _only(stale: Sequence[int], named: int) -> Table:
    """Entries in which both runs have the sizes that the graph's constants suggest."""
    alike = [(size,) for size in stale]
    unlike = list(itertools.permutations(stale[:6], 2)) if named > 1 else []
    return tuple((sizes, sizes) for sizes in (*alike, *unlike))


def _sizes(
    free: Sequence[Free],
    choice: Mapping[Role, tuple[tuple[int, ...], tuple[int, ...]]],
    batch: tuple[int, int],
    shared: bool,
    run: int,
) -> dict[Key, int]:
    """The sizes of one run; `shared` gives all lengths of one kind the same size."""
    sizes: dict[Key, int] = {}
    for item in free:
        if item.role is Role.BATCH:
            sizes[item.key] = batch[run]
            continue
        offered = choice[item.role][run]
        alike = shared and item.role is not Role.SPACE
        sizes[item.key] = offered[0 if alike else item.index % len(offered)]
    return sizes
