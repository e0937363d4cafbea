"""Lists of strings that are not UTF-8: some custom operators keep raw bytes in them.

`onnx_ir` keeps such bytes in a single string, but refuses them in a list. So they travel through it as
hexadecimal text and become, on our side of it, a string that encodes to the original bytes.
"""

from __future__ import annotations

import onnx
import onnx_ir as ir

from graphprune.load.proto_walk import all_nodes as proto_nodes
from graphprune.load.tensors import all_nodes

_MARK = "graphprune:hex:"


class RawText(str):
    """Text whose encoding is given, whatever the text says."""

    raw: bytes

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        """Returns the original bytes."""
        return self.raw


def has_raw_text(model: onnx.ModelProto) -> bool:
    """Whether any attribute is a list with a string that is not UTF-8."""
    return any(
        not _is_utf8(text) for node in proto_nodes(model) for a in node.attribute for text in a.strings
    )


def hide_raw_text(model: onnx.ModelProto) -> None:
    """Writes the strings that are not UTF-8 as marked hexadecimal text, in place."""
    for node in proto_nodes(model):
        for attribute in node.attribute:
            for index, text in enumerate(attribute.strings):
                if not _is_utf8(text):
                    attribute.strings[index] = (_MARK + text.hex()).encode()


def restore_raw_text(model: ir.Model) -> None:
    """Turns marked text back into what it stands for, in place."""
    for node in all_nodes(model):
        for attribute in tuple(node.attributes.values()):
            if attribute.is_ref() or attribute.type != ir.AttributeType.STRINGS:
                continue
            if any(text.startswith(_MARK) for text in attribute.as_strings()):
                texts = [_restored(text) for text in attribute.as_strings()]
                node.attributes[attribute.name] = ir.AttrStrings(attribute.name, texts)


def _restored(text: str) -> str:
    if not text.startswith(_MARK):
        return text
    raw = bytes.fromhex(text.removeprefix(_MARK))
    restored = RawText(raw.decode("utf-8", errors="replace"))
    restored.raw = raw
    return restored


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
