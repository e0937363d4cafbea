"""Writes a model into a private folder, for ONNX Runtime, which is always handed a path.

A serialized model may not exceed 2 GB, and holding one in memory costs its weights twice over. A file
with the weights beside it costs neither: tensors are streamed to it one at a time.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import onnx_ir as ir

MODEL_FILE = "model.onnx"
WEIGHTS_FILE = "graphprune-weights.data"

_WORTH_BYTES = 1024
_EXTERNAL_ABOVE = 1_500_000_000
# Below this, copying external weights is quicker than thinking about it.
_LINK_ABOVE = 64_000_000


_PREFIX = "graphprune-"


def private_folder() -> Path:
    """A new temporary folder that only this user can read."""
    return Path(tempfile.mkdtemp(prefix=_PREFIX))


def is_private(path: Path) -> bool:
    """Whether `path` lies in one of our folders, so that its name would tell a user nothing."""
    return path.parent.name.startswith(_PREFIX)


def remove_folder(folder: Path) -> None:
    """Remove `folder` and all in it; never fails, as it also runs while the interpreter ends."""
    shutil.rmtree(folder, ignore_errors=True)


def initializers(model: ir.Model) -> Iterator[ir.TensorProtocol]:
    """Every stored tensor of the main graph and of all bodies, once per place."""
    for graph in (model.graph, *model.graph.subgraphs()):
        for value in graph.initializers.values():
            if value.const_value is not None:
                yield value.const_value


def weight_bytes(model: ir.Model) -> int:
    """Bytes of all stored tensors, without reading any."""
    return sum(tensor.nbytes for tensor in initializers(model))


def stored_bytes(model: ir.Model) -> int:
    """Bytes of all stored tensors, ranges of a file that several of them share counted once."""
    ranges: dict[object, int] = {}
    for tensor in initializers(model):
        shared = isinstance(tensor, ir.ExternalTensor)
        key = (tensor.path, tensor.offset or 0) if isinstance(tensor, ir.ExternalTensor) else id(tensor)
        ranges[key] = max(ranges.get(key, 0), tensor.nbytes) if shared else tensor.nbytes
    return sum(ranges.values())


def write_model(model: ir.Model, folder: Path, *, external: bool = False, link: bool = True) -> Path:
    """Write `model` into `folder` and return the path of the model file.

    Args:
        model: stays as it is; lazily mapped weights stay lazily mapped.
        folder: an existing folder of our own.
        external: put weights beside the model file even if they would fit into it, which keeps the
            model file itself small.
        link: lend the files of large external weights instead of copying them.
    """
    path = folder / MODEL_FILE
    if link and _link_external(model, folder):
        ir.save(_moved_out(model, folder), path)
    elif external or weight_bytes(model) > _EXTERNAL_ABOVE:
        # Whoever saves would let go of the files of small ones, which others may be looking at.
        small = _inlined(model, _WORTH_BYTES)
        ir.save(small, path, external_data=WEIGHTS_FILE, size_threshold_bytes=_WORTH_BYTES)
    else:
        ir.save(_inlined(model), path)
    return path


def _moved_out(model: ir.Model, folder: Path) -> ir.Model:
    """`model`, or a copy in which tensors that were in memory are in a file, written one at a time.

    The runtime maps what lies in a file and copies what lies in the model.
    """
    inside = [t for t in initializers(model) if not isinstance(t, ir.ExternalTensor) and _worth_a_file(t)]
    if not inside:
        return model
    moved = ir.external_data.convert_tensors_to_external(inside, folder, WEIGHTS_FILE)
    new = {id(old): tensor for old, tensor in zip(inside, moved, strict=True)}
    copy = model.clone()
    for graph in (copy.graph, *copy.graph.subgraphs()):
        for value in graph.initializers.values():
            value.const_value = new.get(id(value.const_value), value.const_value)
    return copy


def _worth_a_file(tensor: ir.TensorProtocol) -> bool:
    return tensor.nbytes > _WORTH_BYTES and tensor.dtype != ir.DataType.STRING


def _inlined(model: ir.Model, most: int | None = None) -> ir.Model:
    """`model`, or a copy in which external tensors are read; those of at most so many bytes, if given."""

    def read(tensor: ir.TensorProtocol | None) -> bool:
        return isinstance(tensor, ir.ExternalTensor) and (most is None or tensor.nbytes <= most)

    if not any(map(read, initializers(model))):
        return model
    copy = model.clone()
    for graph in (copy.graph, *copy.graph.subgraphs()):
        for value in graph.initializers.values():
            tensor = value.const_value
            if tensor is not None and read(tensor):
                value.const_value = ir.Tensor(tensor.numpy(), dtype=tensor.dtype, name=tensor.name)
    return copy


def _link_external(model: ir.Model, folder: Path) -> bool:
    """Hard-link the files of external weights into `folder`; False when they must be copied.

    ONNX Runtime follows no symbolic link out of the model's folder, so a hard link is the only way
    to lend it tens of gigabytes without a copy. It needs one file system and one base folder.
    """
    mapped = [tensor for tensor in initializers(model) if isinstance(tensor, ir.ExternalTensor)]
    if not mapped or sum(tensor.nbytes for tensor in mapped) < _LINK_ABOVE:
        return False
    sources = {str(tensor.location): Path(tensor.path).resolve() for tensor in mapped}
    if any(sources[str(tensor.location)] != Path(tensor.path).resolve() for tensor in mapped):
        return False
    if any(Path(place).is_absolute() or ".." in Path(place).parts for place in sources):
        return False
    try:
        for place, source in sources.items():
            target = folder / place
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(source, target)
    except OSError:
        return False
    return True
