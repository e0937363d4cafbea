"""What a fused activation makes of zero."""

from __future__ import annotations

from graphprune.rules.rule import Written, Zero

_ZERO_STAYS = frozenset(
    "Elu Gelu FastGelu HardSwish Identity LeakyRelu None Relu Selu SiLU Softsign Swish Tanh ThresholdedRelu "
    "none silu swish".split()
)


def fused_zero(node: Written) -> Zero:
    """Like a product, unless an activation behind it maps zero to something else."""
    activation = str(node.attributes.get("activation") or "None")
    if activation == "Clip":
        low, high = (*(node.attributes.get("activation_params") or ()), 0.0, 0.0)[:2]
        return "all" if low <= 0 <= high else "lift"
    return "all" if activation in _ZERO_STAYS else "lift"
