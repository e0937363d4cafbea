"""Chooses sizes for the free dimensions: pairs to run a model at, the likeliest first.

Two runs tell which sizes are static, so the two of a pair differ in every free dimension where the
model allows it. They are distinct primes where it allows that too: then a batch of 2 never looks like
half of a width of 4. A model that needs more (multiples of 32, a square image, the size its position
table was trained for) refuses the earlier pairs at once, and refusing is cheap.
"""

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import onnx_ir as ir

from graphprune.runtime.cached import find_lengths
from graphprune.runtime.consumers import known_sizes
from graphprune.runtime.demands import demanded_sizes
from graphprune.runtime.dimensions import Key, Sizes, free_dimensions, input_dims, real_inputs
from graphprune.runtime.stale import stale_sizes

Pair = tuple[dict[Key, int], dict[Key, int]]


class Role(StrEnum):
    """What a free dimension counts, as far as its name and place tell."""

    BATCH = "batch"
    TOKENS = "tokens"
    FRAMES = "frames"
    SOUND = "sound"
    SPACE = "space"


class Alike(StrEnum):
    """Which lengths get the same size."""

    NOTHING = "nothing"
    KIND = "kind"
    ALL = "all"


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
_MORE_BATCHES = ((5, 4), (7, 6))  # where a length is as small as a batch of ours
_MOST_GIVEN = 3  # sizes of the user's inputs that are paired
# Far enough apart that strides leave different lengths. Half is cheapest, and inside every table.
_MOVES: tuple[Callable[[int], int], ...] = (
    lambda size: size // 2,
    lambda size: 2 * size,
    lambda size: size + size // 2,
    lambda size: size - size // 4,
)
_MOST_MOVED = 3
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

_SMALLEST_SPACE = 16  # smaller numbers in shapes are windows and heads
_MOST_PAIRS = 160

_NAMES: tuple[tuple[Role, re.Pattern[str]], ...] = (
    (Role.BATCH, re.compile(r"batch|^(n|b|bs|bsz)$", re.IGNORECASE)),
    (Role.SPACE, re.compile(r"height|width|^(h|w)$|spatial", re.IGNORECASE)),
    (Role.TOKENS, re.compile(r"seq|token|past|text|len|^(s|t|l)$", re.IGNORECASE)),
    (Role.FRAMES, re.compile(r"frame|time|audio|sample|step|feature", re.IGNORECASE)),
)
# Names that exporters invent for each axis of each input, so that equal sizes have unequal names.
_INVENTED = re.compile(r"unk__|dynamic_axes|DynamicDimension|_dim_|^dim", re.IGNORECASE)


def choose_sizes(model: ir.Model, given: Sequence[Sizes] = ()) -> Iterator[Pair]:
    """Candidate sizes for two runs, likeliest first; both are empty when nothing is free.

    The two of a pair are equal where only one size can be expected to work; `other_sizes` goes on from there.

    Args:
        model: the model.
        given: sizes that the user's own inputs have, the most frequent first.
    """
    seen: set[tuple[tuple[int, int], ...]] = set()
    fixed = _known(model)
    free = [item for item in _classify(model) if item.key not in fixed]
    telling = [sizes for sizes in given if min(_lengths(free, sizes).values(), default=2) > 1]
    rest = [sizes for sizes in given if sizes not in telling]
    offered = (
        _believed(free, telling),
        _agreeing(model, free, fixed),
        _candidates(model, free, fixed),
        _believed(free, rest),
    )
    for first, second in itertools.chain.from_iterable(offered):
        signature = tuple((first[item.key], second[item.key]) for item in free)
        if signature not in seen:
            seen.add(signature)
            yield {**fixed, **first}, {**fixed, **second}
        if len(seen) == _MOST_PAIRS:
            return


def other_sizes(model: ir.Model, pair: Pair) -> Iterator[dict[Key, int]]:
    """Second sizes near the first, for the lengths that a pair has the same size of twice.

    All of them move together first, then each by itself.
    """
    first, second = pair
    fixed = _known(model)
    same = [
        item.key
        for item in _classify(model)
        if item.key not in fixed and item.role is not Role.BATCH and first[item.key] == second[item.key]
    ]
    for keys in (same, *([key] for key in same[:_MOST_MOVED] if len(same) > 1)):
        for move in _MOVES:
            moved = {key: move(first[key]) for key in keys}
            if moved and all(size > 1 and size != first[key] for key, size in moved.items()):
                yield {**second, **moved}


def _believed(free: Sequence[Free], given: Sequence[Sizes]) -> Iterator[Pair]:
    """Pairs of sizes that the user's inputs have; of samples at once, our own first."""
    lengths = list({tuple(found.items()): found for found in (_lengths(free, s) for s in given)}.values())
    taken = {size for found in lengths for size in found.values()}
    batched = [item.key for item in free if item.role is Role.BATCH]
    apart = next((pair for pair in (_BATCH[0], *_MORE_BATCHES) if not taken & set(pair)), _BATCH[0])
    own = [{key: sizes[key] for key in batched} for sizes in given]
    pairs = [(dict.fromkeys(batched, a), dict.fromkeys(batched, b)) for a, b in (apart, *_BATCH[1:])]
    for one, two in (pairs[0], (own[0], own[0]) if own else pairs[0], *pairs[1:]):
        for first in lengths[:_MOST_GIVEN]:
            others = [found for found in lengths if found != first]
            for second in (*others[:_MOST_GIVEN], first):
                yield {**first, **one}, {**second, **two}


def _agreeing(model: ir.Model, free: Sequence[Free], fixed: Sizes) -> Iterator[Pair]:
    """The sizes that attention with a cache takes, if the model has some; no list of ours would meet them."""
    lengths = find_lengths(model)
    if lengths is None:
        return
    base, _ = next(_candidates(model, free, fixed))
    batch = [item.key for item in free if item.role is Role.BATCH]
    pair = lengths.pair(batch, {**fixed, **base})
    if pair is not None:
        first, second = ({key: sizes[key] for key in base} for sizes in pair)
        yield first, second


def _lengths(free: Sequence[Free], sizes: Sizes) -> dict[Key, int]:
    """What is given of all free dimensions but the number of samples."""
    return {item.key: sizes[item.key] for item in free if item.role is not Role.BATCH}


def roles(model: ir.Model) -> dict[Key, Role]:
    """What each free dimension counts, as far as its name and place tell."""
    return {item.key: item.role for item in _classify(model)}


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


def _candidates(model: ir.Model, free: Sequence[Free], fixed: Sizes) -> Iterator[Pair]:
    """Pairs in order of how far down the lists they reach.

    Going to a batch of one counts as three steps down: a model that insists on it shows so late in a
    run, so the long lists should not be gone through first. Lengths of one name or of several, of one kind or
    of several, may have to be alike.
    """
    tables = {role: table[:1] for role, table in _tables(free, (), ()).items()}
    first = _BATCH[0] if any(item.role is Role.BATCH for item in free) else (1, 1)
    for alike in Alike:
        choice = {role: table[0] for role, table in tables.items()}
        yield _sizes(free, choice, first, alike, 0), _sizes(free, choice, first, alike, 1)
    # Only a model that refuses these is asked what its constants say.
    lengths = [item.key for item in free if item.role is not Role.BATCH]
    others = {**fixed, **{item.key: 1 for item in free if item.role is Role.BATCH}}
    tables = dict(
        _tables(
            free,
            demanded_sizes(model, others, lengths) if lengths else (),
            stale_sizes(model) if lengths else (),
        )
    )
    batches = _BATCH if any(item.role is Role.BATCH for item in free) else _BATCH[:1]
    ranges = [range(len(batches)), *(range(len(table)) for table in tables.values())]
    orders = sorted(itertools.product(*ranges), key=lambda order: (sum(order) + 2 * order[0], order))
    for order, alike in itertools.product(orders, Alike):
        choice = {role: tables[role][at] for role, at in zip(tables, order[1:], strict=True)}
        batch = batches[order[0]]
        yield _sizes(free, choice, batch, alike, 0), _sizes(free, choice, batch, alike, 1)


def _tables(free: Sequence[Free], demanded: Sequence[int], stale: Sequence[int]) -> Mapping[Role, Table]:
    """The list of sizes to go through for each role that occurs, but for the batch."""
    deepest = max((item.index for item in free if item.role is Role.SPACE), default=0)
    named = len({item.key for item in free if item.role in (Role.TOKENS, Role.FRAMES)})
    baked, asked = _only(stale, named), tuple(((size,) * 3, (size,) * 3) for size in demanded)
    space = _VOLUME if deepest > 1 else _PLANE
    squares = tuple(((size,) * 3, (size,) * 3) for size in stale if size >= _SMALLEST_SPACE)
    tables = {
        Role.TOKENS: (_TOKENS[0], *asked, _TOKENS[1], *baked, *_TOKENS[2:]),
        Role.FRAMES: (_FRAMES[0], *asked, _FRAMES[1], *baked, *_FRAMES[2:]),
        Role.SOUND: (_SOUND[0], *asked, *_SOUND[1:-1], *baked, _SOUND[-1]),
        Role.SPACE: (space[0], *asked, *space[1:], *squares),
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
    alike: Alike,
    run: int,
) -> dict[Key, int]:
    """The sizes of one run."""
    sizes: dict[Key, int] = {}
    common = next((role for role in (Role.FRAMES, Role.TOKENS, Role.SOUND) if role in choice), None)
    for item in free:
        if item.role is Role.BATCH:
            sizes[item.key] = batch[run]
        elif item.role is Role.SPACE or alike is Alike.NOTHING:
            offered = choice[item.role][run]
            sizes[item.key] = offered[item.index % len(offered)]
        elif alike is Alike.KIND or common is None:
            sizes[item.key] = choice[item.role][run][0]
        else:
            sizes[item.key] = choice[common][run][0]
    return sizes
