"""Write the small test and calibration splits that are committed: `python -m models.train.splits`."""

from __future__ import annotations

import numpy as np

from models.evaluate import DATA  # noqa: TID251  (this is models/ itself)

from . import sources

TEST, CALIBRATION = 1000, 512
TEST_KEYS = 10  # passages with a split key below this are never trained on


def _fashion() -> None:
    test, test_labels = sources.fashion("t10k")
    train, train_labels = sources.fashion("train")
    np.savez_compressed(
        DATA / "fashion.npz",
        test_images=test[:TEST],
        test_labels=test_labels[:TEST].astype(np.uint8),
        calibration_images=train[:CALIBRATION],
        calibration_labels=train_labels[:CALIBRATION].astype(np.uint8),
    )


def _passages() -> None:
    tokens, labels, keys = sources.passages()
    draw = np.random.RandomState(0)
    test = draw.permutation(np.flatnonzero(keys < TEST_KEYS))[:TEST]
    calibration = draw.permutation(np.flatnonzero(keys >= TEST_KEYS))[:CALIBRATION]
    np.savez_compressed(
        DATA / "passages.npz",
        packages=np.array(sources.PACKAGES),
        test_tokens=tokens[test].astype(np.uint16),
        test_labels=labels[test].astype(np.uint8),
        calibration_tokens=tokens[calibration].astype(np.uint16),
        calibration_labels=labels[calibration].astype(np.uint8),
    )


def _source() -> None:
    train, test = sources.source_text()
    np.savez_compressed(
        DATA / "source.npz",
        test_bytes=sources.windows(test, 128, seed=0),
        calibration_bytes=sources.windows(train, 128, seed=1),
    )


if __name__ == "__main__":
    DATA.mkdir(exist_ok=True)
    _fashion()
    _passages()
    _source()
