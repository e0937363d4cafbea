"""The case table of all operators, in the families of graphprune/rules."""

from tests.rules.tables import attention, conv, elementwise, matmul, norm, recurrent, reduce, shaping

CASES = (
    *attention.CASES,
    *conv.CASES,
    *elementwise.CASES,
    *matmul.CASES,
    *norm.CASES,
    *recurrent.CASES,
    *reduce.CASES,
    *shaping.CASES,
)
