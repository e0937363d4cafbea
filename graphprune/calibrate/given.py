"""The sizes that a user's inputs have, read before the model has been watched running."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import numpy as np
import onnx_ir as ir

from graphprune.calibrate.calibration import read_entries
from graphprune.calibrate.fitting import named
from graphprune.errors import CalibrationError
from graphprune.runtime.dimensions import Sizes, input_dims, real_inputs, sizes_in

_LOOKED_AT = 256  # entries


def given_sizes(
    what: Any, model: ir.Model, preprocessing: str = "", samples: int | None = None
) -> tuple[Sizes, ...]:
    """Sizes of the free dimensions of a model in calibration inputs, the most frequent first.

    Inputs that cannot be read have none: what is wrong with them is said when they are used.

    Args:
        what: anything that `load_calibration` reads, or None.
        model: the normalised model.
        preprocessing: of pictures.
        samples: look at no more than this many; a loader may go on for ever.
    """
    if what is None or (isinstance(what, str) and what.split(":")[0] == "noise"):
        return ()
    shapes = {
        str(v.name): tuple(dim if isinstance(dim, int) else None for dim in input_dims(v))
        for v in real_inputs(model)
    }
    seen = 0
    counts: Counter[tuple[Any, ...]] = Counter()
    try:
        entries, source = read_entries(what, shapes, _LOOKED_AT, preprocessing)
        for number, entry in enumerate(itertools.islice(entries, _LOOKED_AT)):
            feeds = named(entry, shapes, source, number)
            found = {name: np.shape(array) for name, array in feeds.items()}
            sizes = sizes_in(model, found)
            if sizes is not None:
                counts[tuple(sizes.items())] += 1
            seen += max((f[0] for n, f in found.items() if f and len(f) == len(shapes[n])), default=1)
            if samples is not None and seen >= samples:
                break
    except (CalibrationError, ValueError):
        return ()
    return tuple(dict(items) for items, _ in counts.most_common())
