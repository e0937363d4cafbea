"""Is a file a valid model by ONNX's own rules?"""

from __future__ import annotations

import os

import onnx


def check_file(path: str | os.PathLike[str]) -> str:
    """The first complaint of ONNX's checker with strict shape inference, or an empty string.

    The file must lie on disk, so that models of more than 2 GB can be checked.
    """
    try:
        onnx.checker.check_model(os.fspath(path), full_check=True)
    except Exception as error:  # the checker raises several unrelated classes
        return " ".join(str(error).split())[:500]
    return ""
