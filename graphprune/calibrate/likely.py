"""How large made-up inputs are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx_ir as ir

from graphprune.errors import ModelError
from graphprune.runtime.cached import find_lengths
from graphprune.runtime.dimensions import Sizes, input_shape, real_inputs
from graphprune.runtime.feeds import random_feeds
from graphprune.runtime.recording import Recording
from graphprune.runtime.session import open_session
from graphprune.runtime.sizes import Role, roles

_BATCH = 32
LENGTHS = (64, 32, 16)  # tokens of a sequence, where that is free
# Times the length that sounds were recorded at: models take shorter ones than they were made for.
_LONGER = (4, 1.25)
_NUMBERS = 1 << 23  # of all inputs in one batch, at most


def likely_sizes(model: ir.Model, recording: Recording, tokens: Sequence[int] = LENGTHS) -> tuple[Sizes, int]:
    """Sizes that a model runs at: many samples at once, sequences of some length; and how many samples.

    Those that shapes were recorded at are small and prime; the first of these that works is taken instead.
    Sounds are longer.
    """
    recorded = dict(recording.sizes)
    counted = roles(model)
    free = {k: role for k, role in counted.items() if recording.sizes_second.get(k) != recorded.get(k)}
    each = sum(int(np.prod(input_shape(v, recorded)[1:])) for v in real_inputs(model))
    batch = int(min(_BATCH, max(2, _NUMBERS // max(1, each))))
    lengths = tokens if Role.TOKENS in free.values() else tokens[:1]
    wanted = [{Role.BATCH: batch, Role.TOKENS: length} for length in lengths] + [{Role.BATCH: batch}]
    offered = [{**recorded, **{k: w[r] for k, r in free.items() if r in w}} for w in wanted]
    heard = [k for k, role in counted.items() if role is Role.SOUND]
    longer = [{k: int(recorded[k] * times) for k in heard} for times in _LONGER] if heard else []
    offered = [*({**sizes, **length} for length in longer for sizes in offered), *offered]
    attended = find_lengths(model)
    if attended is not None:  # with an empty cache first: nobody has ever read what random ones hold
        offered = [*map(attended.prompt, offered), *offered]
    for sizes in offered:
        if sizes != recorded and _runs(model, sizes):
            return sizes, _samples(model, recording, sizes)
    return recorded, _samples(model, recording, recorded)


def _runs(model: ir.Model, sizes: Sizes) -> bool:
    try:
        with open_session(model) as session:
            session.run(random_feeds(model, sizes, 0))
    except ModelError:
        return False
    return True


def _samples(model: ir.Model, recording: Recording, sizes: Sizes) -> int:
    """How many samples are in one feed: the largest free first axis."""
    shapes = {str(v.name): input_shape(v, sizes) for v in real_inputs(model)}
    return max((s[0] for n, s in shapes.items() if s and recording.dynamic(n)[0]), default=1)
