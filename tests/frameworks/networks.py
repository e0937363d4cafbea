"""What the four networks of models/frameworks/sizes.py have to lose, whatever exported them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "models" / "frameworks"
FILES = sorted(path.name for path in FOLDER.glob("*.onnx"))

Groups = Counter[tuple[str, int, int, bool]]


def _cnn() -> Groups:
    kernel, flat = 9, 12 * 9
    return Counter(
        [
            # stem and residual width: stem, both convs of the block, the next conv
            ("channels", 8, kernel * (3 * 8 + 2 * 8 * 8 + 8 * 12), True),
            ("channels", 8, kernel * 2 * 8 * 8, True),
            ("channels", 12, kernel * 8 * 12 + flat * 20, True),
            ("neurons", 20, flat * 20 + 20 * 5, True),
        ]
    )


def _mlp() -> Groups:
    return Counter(
        [("neurons", 24, 10 * 24 + 24 * 16, True), ("neurons", 16, 24 * 16 + 16 * 5, True)],
    )


def _transformer() -> Groups:
    inner, forward = 4 * 6, 40
    projection = 16 * inner
    return Counter(
        [
            ("neurons", 16, 10 * 16 + 4 * projection + 2 * 16 * forward + 16 * 5, False),
            ("heads", 4, 4 * projection, True),
            ("head-dim", 6, 2 * projection, True),  # of queries and keys
            ("head-dim", 6, 2 * projection, True),  # of values
            ("neurons", forward, 2 * 16 * forward, True),
        ]
    )


def _lstm() -> Groups:
    first, second = 12, 14
    return Counter(
        [
            ("hidden", first, 4 * first * (10 + first) + 4 * second * first, True),
            ("hidden", second, 4 * second * (first + second) + second * 5, True),
        ]
    )


# network: kind, size, elements of weights in reach, whether exact
GROUPS = {"cnn": _cnn(), "mlp": _mlp(), "transformer": _transformer(), "lstm": _lstm()}
