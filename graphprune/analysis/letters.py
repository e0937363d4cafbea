"""Products of tensors as Einsum writes them: one letter for each axis."""

from __future__ import annotations

import string
from collections.abc import Sequence


def einsum_letters(equation: str, ranks: Sequence[int]) -> tuple[list[str], str]:
    """The letters of each operand and of the result, an ellipsis spelt out, the result named if it was not.

    Args:
        equation: of Einsum.
        ranks: of the operands.

    >>> einsum_letters("...ij, jk", [4, 2])
    (['abij', 'jk'], 'abik')
    """
    equation = equation.replace(" ", "")
    before, arrow, after = equation.partition("->")
    texts = before.split(",")
    most = max(
        (r - len(t.replace("...", "")) for t, r in zip(texts, ranks, strict=True) if "..." in t), default=0
    )
    dots = "".join([c for c in string.ascii_letters if c not in equation][:most])

    def spelt(text: str, count: int) -> str:
        return text.replace("...", dots[most - count :])

    terms = [spelt(t, r - len(t.replace("...", ""))) for t, r in zip(texts, ranks, strict=True)]
    if not arrow:
        letters = sorted(x for x in before if x.isalpha() and before.count(x) == 1)
        after = "..." * ("..." in before) + "".join(letters)
    return terms, spelt(after, most)


def matmul_letters(ranks: Sequence[int], turned: Sequence[bool] = (False, False)) -> tuple[list[str], str]:
    """The same of `A @ B`, where the last two axes of either may be turned first.

    Args:
        ranks: of the operands, at least 2.
        turned: which of them are.

    >>> matmul_letters([3, 2], [False, True])
    (['aXY', 'ZY'], 'aXZ')
    """
    lead = string.ascii_lowercase[: max(ranks) - 2]
    last = ("YX" if turned[0] else "XY", "ZY" if turned[1] else "YZ")
    return [lead[len(lead) - (r - 2) :] + two for r, two in zip(ranks, last, strict=True)], lead + "XZ"
