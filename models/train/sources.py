"""Where the training data come from: Fashion-MNIST's own files and the Python standard library's source.

Nothing is downloaded. Fashion-MNIST is Debian's package `dataset-fashion-mnist`; set FASHION_MNIST to read
the four `.gz` files from another folder. The text is the `lib` folder of the Python 3.11 that runs this.
"""

from __future__ import annotations

import gzip
import os
import re
import sysconfig
import zlib
from pathlib import Path

import numpy as np

PACKAGES = (
    "asyncio", "distutils", "email", "idlelib", "importlib",
    "lib2to3", "multiprocessing", "tkinter", "unittest", "xml",
)  # fmt: skip
PASSAGE = 32  # tokens in a passage
TOKEN_IDS = 1024
TOKEN = re.compile(rb"[A-Za-z_]+|[0-9]+|[^\sA-Za-z0-9_]")
WINDOW = 257  # bytes in a window of source: 256 inputs and the byte after each


def fashion(part: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the uint8 images (n, 28, 28) and int64 labels (n,) of `part`, "train" or "t10k"."""
    folder = Path(os.environ.get("FASHION_MNIST", "/usr/share/datasets/fashion-mnist"))
    pictures = gzip.decompress((folder / f"{part}-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((folder / f"{part}-labels-idx1-ubyte.gz").read_bytes())
    return (
        np.frombuffer(pictures, np.uint8, offset=16).reshape(-1, 28, 28),
        np.frombuffer(labels, np.uint8, offset=8).astype(np.int64),
    )


def _library() -> Path:
    return Path(sysconfig.get_paths()["stdlib"])


def _is_test(path: Path) -> bool:
    return bool({"test", "tests", "idle_test", "site-packages"} & set(path.parts))


def token_ids(text: bytes) -> np.ndarray:
    """Return the int64 ids (n,) of a source text's words and signs; a hash needs no vocabulary file."""
    words = TOKEN.findall(text)
    return np.fromiter((zlib.crc32(word) % TOKEN_IDS for word in words), np.int64, len(words))


def passages() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut ten packages into passages.

    Returns:
        int64 token ids (n, 32), int64 package numbers (n,), and a split key in [0, 100) for each (n,). Blocks
        of eight neighbouring passages share one key: a test passage's neighbours are rarely training data.
    """
    rows: list[np.ndarray] = []
    labels: list[int] = []
    keys: list[int] = []
    for label, package in enumerate(PACKAGES):
        for path in sorted((_library() / package).rglob("*.py")):
            if _is_test(path.relative_to(_library())):
                continue
            ids = token_ids(path.read_bytes())
            name = path.relative_to(_library()).as_posix()
            for number in range(len(ids) // PASSAGE):
                rows.append(ids[number * PASSAGE : (number + 1) * PASSAGE])
                labels.append(label)
                keys.append(zlib.crc32(f"{name}:{number // 8}".encode()) % 100)
    return np.stack(rows), np.array(labels), np.array(keys)


def source_text() -> tuple[np.ndarray, np.ndarray]:
    """Return the library's source as two uint8 byte rows, for training and for testing, split by whole files.

    Tests, tables of character encodings and non-ASCII bytes are left out: every byte is below 128.
    """
    parts: dict[bool, list[bytes]] = {False: [], True: []}
    for path in sorted(_library().rglob("*.py")):
        name = path.relative_to(_library())
        if _is_test(name) or name.parts[0] in {"encodings", "pydoc_data"}:
            continue
        text = bytes(byte for byte in path.read_bytes() if byte < 128)
        parts[zlib.crc32(name.as_posix().encode()) % 20 == 0].append(text)
    train, test = (np.frombuffer(b"\0".join(parts[key]), np.uint8) for key in (False, True))
    return train, test


def windows(text: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Return `count` windows (count, 257) of a byte row, from random places."""
    starts = np.random.RandomState(seed).randint(0, len(text) - WINDOW, count)
    return text[starts[:, None] + np.arange(WINDOW)]
