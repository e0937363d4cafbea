"""How much of a tensor is lost: its variance, and where it holds scores of classes, what it says of them.

Squared errors of scores count improbable classes as much as probable ones. A network's outputs are therefore
also compared as distributions (Hinton et al., "Distilling the Knowledge in a Neural Network", 2015): the
Kullback-Leibler divergence, as a share of what the original's outputs tell about the classes at all. Nobody
says whether outputs are scores. Where they are not, both parts still have their least value at the original.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.special
from numpy.typing import NDArray

Array = NDArray[Any]

SQUARES = 0.1  # weight of the squared error beside the divergence
UNSURE = 1.0  # the same where nobody says that these are scores
_LEAST = 1e-3  # nats that scores tell about the classes; below, they are none
_WIDEST = 30.0  # standard deviation of scores along their classes; above, they are none


@dataclass(frozen=True, slots=True)
class Likeness:
    """A measure of what is lost of a tensor, in shares of what there was.

    Attributes:
        variance: of the target.
        axis: along which classes lie.
        information: nats that the target tells about them; 0 to compare values only.
        sure: it is known that these are scores, so that values may get worse.
    """

    variance: float
    axis: int = -1
    information: float = 0.0
    sure: bool = False

    @classmethod
    def of_values(cls, targets: Sequence[Array]) -> Likeness:
        """Of a tensor whose values count."""
        return cls(_variance(targets))

    @classmethod
    def of_scores(cls, targets: Sequence[Array], axis: int, sure: bool = False) -> Likeness:
        """Of a tensor that may hold scores of classes along an axis."""
        variance = _variance(targets)
        spread = float(np.mean([np.mean(np.std(t, axis=axis)) for t in targets]))
        classes = {t.shape[axis] for t in targets if t.ndim > 1}
        if len(classes) != 1 or min(classes) < 2 or not 0 < spread < _WIDEST:
            return cls(variance)
        over = tuple(k for k in range(targets[0].ndim) if k != axis % targets[0].ndim)
        shares = [scipy.special.softmax(t, axis=axis) for t in targets]
        rows = sum(s.size // s.shape[axis] for s in shares)
        mean = sum((s.sum(axis=over, dtype=np.float64) for s in shares), np.zeros(shares[0].shape[axis]))
        entropies = sum(float(scipy.special.entr(s).sum(dtype=np.float64)) for s in shares)
        information = float(scipy.special.entr(mean / rows).sum()) - entropies / rows
        return cls(variance, axis, information if information > _LEAST else 0.0, sure)

    @property
    def share(self) -> float:
        """Weight of the squared error beside the divergence."""
        return SQUARES if self.sure else UNSURE

    def squares(self, found: Array, target: Array) -> float:
        """What is lost of the values on average."""
        return float(np.square(found - target, dtype=np.float64).mean()) / self.variance

    def lost(self, found: Array, target: Array) -> float:
        """What is lost on average."""
        squares = self.squares(found, target)
        if not self.information:
            return squares
        first, second = (scipy.special.log_softmax(a, axis=self.axis) for a in (target, found))
        divergence = float((np.exp(first) * (first - second)).sum(dtype=np.float64))
        rows = target.size // target.shape[self.axis]
        return float(self.share * squares + divergence / rows / self.information)

    def slope(self, found: Array, target: Array) -> Array:
        """The gradient of what is lost."""
        squares = (found - target) * np.float32(2 / self.variance / found.size)
        if not self.information:
            return np.asarray(squares)
        rows = target.size // target.shape[self.axis]
        first, second = (scipy.special.softmax(a, axis=self.axis) for a in (target, found))
        return np.asarray(
            np.float32(self.share) * squares + (second - first) * np.float32(1 / rows / self.information),
            found.dtype,
        )


def _variance(targets: Sequence[Array]) -> float:
    """Around the mean of each place over all samples; around that of each batch, where sizes differ."""
    alike = len({t.shape[1:] for t in targets}) == 1
    count = sum(t.shape[0] if t.ndim else 1 for t in targets)
    means: Sequence[Any] = [t.mean(axis=0, dtype=np.float64) for t in targets]
    if alike:
        means = [sum(t.sum(axis=0, dtype=np.float64) for t in targets) / count] * len(targets)
    elif all(t.shape[0] < 2 for t in targets):
        means = [t.mean(dtype=np.float64) for t in targets]
    squares = sum(float(np.square(t - m).sum()) for t, m in zip(targets, means, strict=True))
    return max(squares / max(1, sum(t.size for t in targets)), 1e-30)
