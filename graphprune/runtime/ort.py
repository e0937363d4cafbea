"""The one door to ONNX Runtime: imported when first needed, its complaints made readable."""

import functools
import importlib
import re
from typing import Any

from graphprune.errors import RuntimeMissingError

MISSING = (
    'ONNX Runtime is not installed: pip install "graphprune[cpu]" (or "graphprune[cuda]" for NVIDIA GPUs)'
)

_LONGEST_REASON = 240

# What ONNX Runtime wraps around the sentence that matters: its status code, the file it was given,
# and the place in its own sources that noticed.
_NOISE = (
    re.compile(r"\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : "),
    re.compile(r"Load model from .*? failed: ?"),
    re.compile(r"This is an invalid model\. "),
    re.compile(r"Exception during (loading|initialization): "),
    re.compile(r"Non-zero status code returned while "),
    re.compile(r"\S+\.(?:cc|cpp|h|hpp):\d+ (?:[\w:~<>&*, ]+?\([^)]*\)(?: const)? )?(?:Exception caught: )?"),
    re.compile(r" ?Status Message: ?"),
)


@functools.cache
def onnxruntime() -> Any:
    """The `onnxruntime` module.

    Raises:
        RuntimeMissingError: it is not installed, or is a broken mixture of two installations.
    """
    try:
        module = importlib.import_module("onnxruntime")
    except ImportError as error:
        raise RuntimeMissingError(MISSING) from error
    if not hasattr(module, "InferenceSession"):
        raise RuntimeMissingError(
            "ONNX Runtime is installed but broken, which happens when onnxruntime and onnxruntime-gpu "
            'overwrite each other: uninstall both, then pip install "graphprune[cpu]"'
        )
    return module


def reason(error: Exception) -> str:
    r"""What ONNX Runtime complained of, in one short line.

    >>> reason(RuntimeError("[ONNXRuntimeError] : 1 : FAIL : Load model from /x/m.onnx failed:No such op\n"))
    'No such op'
    """
    text = str(error)
    if too_new := re.search(r"Opset (\d+) is under development", text):
        return f"opset {too_new.group(1)} is newer than this ONNX Runtime knows"
    for noise in _NOISE:
        text = noise.sub(" ", text)
    text = " ".join(text.split())
    if len(text) > _LONGEST_REASON:
        text = text[: _LONGEST_REASON - 1].rstrip() + "…"
    return text or type(error).__name__
