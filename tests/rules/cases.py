"""The case table of all operators, in the families of graphprune/rules."""

from tests.rules.tables import (
    attention,
    conv,
    elementwise,
    matmul,
    microsoft,
    microsoft_attention,
    microsoft_quantised,
    norm,
    recurrent,
    reduce,
    shaping,
)

CASES = (
    *attention.CASES,
    *conv.CASES,
    *elementwise.CASES,
    *matmul.CASES,
    *microsoft.CASES,
    *microsoft_attention.CASES,
    *microsoft_quantised.CASES,
    *norm.CASES,
    *recurrent.CASES,
    *reduce.CASES,
    *shaping.CASES,
)
