"""What a target may look like."""

from __future__ import annotations

import pytest

from graphprune.decide import parse_targets
from graphprune.errors import UsageError


@pytest.mark.parametrize(
    ("text", "measure", "limit", "relative"),
    [
        ("macs=0.5", "macs", 0.5, True),
        ("macs = 50%", "macs", 0.5, True),
        ("params=1.2M", "params", 1_200_000, False),
        ("params=300K", "params", 300_000, False),
        ("size=8MB", "size", 8_000_000, False),
        ("size=1GB", "size", 10**9, False),
        ("macs=2G", "macs", 2 * 10**9, False),
        ("params=5000", "params", 5000, False),
    ],
)
def test_forms(text: str, measure: str, limit: float, relative: bool) -> None:
    (target,) = parse_targets([text])
    assert (target.measure, target.relative) == (measure, relative)
    assert target.limit == pytest.approx(limit)
    assert target.allowed(1000) == pytest.approx(limit * 1000 if relative else limit)


def test_several() -> None:
    assert [t.measure for t in parse_targets(["macs=0.5,params=0.4", "size=1MB"])] == [
        "macs",
        "params",
        "size",
    ]


@pytest.mark.parametrize(
    "text", ["macs", "speed=2", "macs=-1", "macs=0", "macs=fast", "size=3XB", "macs=150%", "macs=1.2.3"]
)
def test_what_cannot_be_read_is_an_error_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match=r"write for example macs=0\.5"):
        parse_targets([text])
