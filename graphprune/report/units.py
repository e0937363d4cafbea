"""Figures as people read them."""

from __future__ import annotations


def count(value: float) -> str:
    """A count with a unit.

    >>> count(4_089_200_000), count(25_508), count(12)
    ('4.09 G', '25.5 k', '12')
    """
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.0f}"


def megabytes(value: float) -> str:
    """Bytes as MB (10^6 bytes).

    >>> megabytes(8_000_000)
    '8.00 MB'
    """
    return f"{value / 1e6:.2f} MB"


def milliseconds(value: float) -> str:
    """Milliseconds with two digits behind the point."""
    return f"{value:.2f} ms"


def factor(before: float, after: float) -> str:
    """How many times less.

    >>> factor(10, 4)
    '2.50 x less'
    """
    return f"{before / after:.2f} x less" if after else ""
