"""Calibration inputs as batches that a model accepts."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from graphprune.calibrate.batches import batch_of, gathered, split
from graphprune.calibrate.files import read_files
from graphprune.calibrate.fitting import as_array, named
from graphprune.calibrate.held import Held, hold
from graphprune.calibrate.hook import each
from graphprune.calibrate.images import Preprocessing, is_image_folder, read_images
from graphprune.calibrate.request import check_request, is_noise
from graphprune.calibrate.synthetic import KINDS, make_up
from graphprune.errors import CalibrationError
from graphprune.runtime.dimensions import real_inputs
from graphprune.runtime.recording import Recording

Array = NDArray[Any]
Feeds = Mapping[str, Array]


@dataclass(frozen=True)
class Calibration:
    """Inputs of a model.

    Attributes:
        batches: feeds, each with an array for every input.
        samples: how many inputs that are in all.
        source: where they came from, for reports.
        synthetic: made up rather than given.
        kinds: which kind of made-up inputs each batch holds.
        lifelike: made up by the model itself.
        notes: what the user should know about how they were read.
    """

    batches: tuple[Feeds, ...]
    samples: int
    source: str
    synthetic: bool
    kinds: tuple[int, ...] = ()
    lifelike: bool = False
    notes: tuple[str, ...] = ()

    @functools.cached_property
    def copies(self) -> int:
        """How many of the inputs are equal to earlier ones, if that is most of them; else 0."""
        seen: set[bytes] = set()
        count = 0
        for feeds in self.batches:
            arrays = list(feeds.values())
            sizes = {a.shape[0] if a.ndim else 0 for a in arrays}
            parts = range(sizes.pop()) if len(sizes) == 1 else [...]
            for k in parts:
                count += 1
                seen.add(hashlib.blake2b(b"".join(a[k].tobytes() for a in arrays), digest_size=16).digest())
        copies = count - len(seen)
        return copies if 2 * copies > count else 0


def load_calibration(
    what: Any,
    model: ir.Model,
    recording: Recording,
    *,
    samples: int | None = None,
    preprocessing: str = "",
    seed: int = 0,
) -> Calibration:
    """Read calibration inputs.

    Args:
        what: a path of a .npz or .npy file or of a folder of such or of images; "module:function" or
            "file.py:function"; "noise" or "noise:" and one of `KINDS`; a mapping of arrays with samples along
            their first axis; or any iterable of feeds, arrays or tuples of arrays.
        model: the normalised model.
        recording: shapes of its tensors.
        samples: use at most this many; all by default.
        preprocessing: what to do with images, see `graphprune.calibrate.images`.
        seed: of made-up inputs.

    Raises:
        CalibrationError: it cannot be read, or does not fit the model's inputs.
    """
    check_request(what, samples, preprocessing)
    if is_noise(what):
        kind = what.partition(":")[2] or "auto"
        if kind not in KINDS:
            raise CalibrationError(f"unknown kind of noise {kind!r}: choose from {', '.join(KINDS)}")
        made = make_up(model, recording, kind, samples, seed)
        found = _calibration(made.feeds, model, recording, None, made.how, True)
        return replace(found, kinds=made.kinds, lifelike=made.lifelike)
    shapes = {str(v.name): _static(v, recording) for v in real_inputs(model)}
    feeds, source = read_entries(what, shapes, samples, preprocessing)
    return _calibration(feeds, model, recording, samples, source, False)


def read_entries(
    what: Any, shapes: Mapping[str, tuple[int | None, ...]], samples: int | None, preprocessing: str
) -> tuple[Iterable[Any], str]:
    """Inputs as they were given, and where they came from.

    Args:
        what: anything that `load_calibration` reads but noise.
        shapes: of the model's inputs, None where they are free.
        samples: read at most this many pictures.
        preprocessing: of pictures.

    Raises:
        CalibrationError: it cannot be read.
    """
    what = hold(what)
    if isinstance(what, Held):
        return _in_memory(what.entries, shapes, what.source)[0], what.source
    if isinstance(what, str | os.PathLike):
        path = Path(what)
        if not (path.is_dir() and is_image_folder(path)):
            return read_files(path), str(path)
        if len(shapes) != 1:
            raise CalibrationError(
                f"{path} holds images, but the model has {len(shapes)} inputs "
                f"({', '.join(shapes)}): give a .npz with an array for each"
            )
        chosen = Preprocessing.parse(preprocessing)
        return read_images(path, chosen, next(iter(shapes.values())), samples), str(path)
    return _in_memory(what, shapes)


def _in_memory(
    what: Any, shapes: Mapping[str, tuple[int | None, ...]], source: str = ""
) -> tuple[Iterable[Any], str]:
    """The entries of what a user's own code has made, and what that is."""
    if isinstance(what, Mapping):
        return [what], "arrays"
    if hasattr(what, "shape") and len(shapes) == 1 and len(what.shape) <= len(next(iter(shapes.values()))):
        return [what], "an array"
    if isinstance(what, Iterable):
        return each(what, source or "an iterable"), "an iterable"
    raise CalibrationError(
        f"calibration inputs cannot be a {type(what).__name__}: give a path, arrays by input name, or an "
        "iterable of feeds"
    )


def _static(value: ir.Value, recording: Recording) -> tuple[int | None, ...]:
    """The sizes of an input, None where they are free."""
    name = str(value.name)
    sizes = recording.shapes.get(name, ())
    return tuple(None if free else size for size, free in zip(sizes, recording.dynamic(name), strict=True))


def _calibration(
    given: Iterable[Any],
    model: ir.Model,
    recording: Recording,
    samples: int | None,
    source: str,
    synthetic: bool,
) -> Calibration:
    inputs = real_inputs(model)
    shapes = {str(v.name): _static(v, recording) for v in inputs}
    types = element_types(model)
    batch = 0 if synthetic else batch_of(model, shapes, recording)  # what is made up comes in batches
    fixed = batch != 0 and all(shape[0] is not None for shape in shapes.values())
    entries = (
        checked(named(item, shapes, source, number), shapes, types, source, number, fixed)
        for number, item in enumerate(given)
    )
    ready, dropped = gathered(_until(entries, shapes, samples), model, batch, fixed)
    batches: list[Feeds] = []
    count = 0
    for feeds in ready:
        for part in split(feeds, shapes):
            size = _samples(part, shapes)
            if samples is not None and count + size > samples:
                part = {n: a[: samples - count] if _batched(shapes[n], a) else a for n, a in part.items()}
                size = samples - count
            if size <= 0:
                break
            batches.append(part)
            count += size
        if samples is not None and count >= samples:
            break
    if not batches and dropped:
        raise CalibrationError(
            f"{source} holds {dropped} calibration inputs, but the model takes {batch} at a time: give at "
            f"least {batch}"
        )
    if not batches:
        raise CalibrationError(f"{source} holds no calibration inputs")
    note = f"{dropped} calibration inputs were left out: the model takes {batch} at a time"
    return Calibration(tuple(batches), count, source, synthetic, notes=(note,) if dropped else ())


def _until(
    feeds: Iterable[Feeds], shapes: Mapping[str, tuple[int | None, ...]], samples: int | None
) -> Iterator[Feeds]:
    """Feeds until there are as many samples as wanted: a loader may go on for ever."""
    count = 0
    for part in feeds:
        yield part
        count += _samples(part, shapes)
        if samples is not None and count >= samples:
            return


def checked(
    feeds: Mapping[str, Any],
    shapes: Mapping[str, tuple[int | None, ...]],
    types: Mapping[str, Any],
    source: str,
    number: int,
    any_count: bool,
) -> dict[str, Array]:
    """Arrays of the model's types, if they fit.

    Args:
        feeds: by input name.
        shapes: of the model's inputs, None where they are free.
        types: numpy's element types of them, None where they are not known.
        source: where the entry came from, for errors.
        number: which entry it is.
        any_count: any number of samples fits, to be gathered to batches.

    Raises:
        CalibrationError: one does not fit, or holds no finite numbers.
    """
    found = {}
    for name, shape in shapes.items():
        where = f"{source}, entry {number}, input {name!r}"
        array = as_array(feeds[name], where)
        given = array.shape
        if array.dtype == object or array.dtype.kind not in "biuf":
            raise CalibrationError(f"{where}: holds {array.dtype}, not numbers")
        if array.ndim == len(shape) - 1:  # one sample without its batch axis
            array = array[None]
        bad = array.ndim != len(shape) or any(
            want is not None and have != want and not (axis == 0 and (any_count or have % want == 0))
            for axis, (have, want) in enumerate(zip(array.shape, shape, strict=False))
        )
        if bad:
            wanted = ", ".join("any" if s is None else str(s) for s in shape)
            raise CalibrationError(f"{where}: shape {given} does not fit ({wanted})")
        wanted_type = types[name]
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise CalibrationError(f"{where}: holds values that are not finite")
        if wanted_type is not None and array.dtype != wanted_type:
            if array.dtype.kind == "f" and np.dtype(wanted_type).kind in "iub":
                raise CalibrationError(
                    f"{where}: holds {array.dtype}, the model wants {np.dtype(wanted_type)}"
                )
            array = _converted(array, np.dtype(wanted_type), where)
        found[name] = array
    return found


def element_types(model: ir.Model) -> dict[str, Any]:
    """Numpy's element types of a model's inputs, None where they are not known."""
    return {str(v.name): v.dtype.numpy() if v.dtype is not None else None for v in real_inputs(model)}


def _converted(array: Array, wanted: np.dtype[Any], where: str) -> Array:
    """The numbers in the type of the model's input, into which all of them must fit."""
    with np.errstate(over="ignore", invalid="ignore"):  # said below, with the place
        found = array.astype(wanted)
    fits = np.isfinite(found)
    if wanted.kind in "iu":
        fits = (found.astype(array.dtype) == array) & ((found < 0) == (array < 0))
    if not fits.all():
        raise CalibrationError(
            f"{where}: holds {array[~fits][0]}, which does not fit {wanted}, the type of the input; "
            "scale the numbers as the model expects them"
        )
    return found


def _batched(shape: tuple[int | None, ...], array: Array) -> bool:
    return bool(shape) and (shape[0] is None or array.shape[0] != shape[0])


def _samples(feeds: Feeds, shapes: Mapping[str, tuple[int | None, ...]]) -> int:
    sizes = [a.shape[0] for n, a in feeds.items() if shapes[n]]
    return max(sizes, default=1)
