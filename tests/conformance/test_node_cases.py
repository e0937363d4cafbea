"""ONNX's own node tests, pruned at random: every rule on the data its operator is specified with."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterable

import pytest

from graphprune.testing import prune_at_random
from tests.conformance.embedding import NodeCase, embedded, node_cases


def _one_for_each_operator() -> tuple[NodeCase, ...]:
    """The first test of every operator."""
    found: dict[str, NodeCase] = {}
    for case in node_cases():
        if case.op:
            found.setdefault(case.op, case)
    return tuple(found.values())


@functools.cache
def _verdict(name: str, all_operands: bool) -> tuple[str, bool, str]:
    """Status, whether something was cut that the outputs noticed, and a note."""
    case = next(c for c in node_cases() if c.name == name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # masked numbers may overflow where the originals did not
        outcome = prune_at_random(embedded(case, all_operands=all_operands), 0.5)
    found = outcome.equivalence
    if not outcome.decision.keeps and found.failed:  # the network itself does not run with optimisations
        return "untouched", False, found.note
    return found.status, bool(outcome.decision.keeps) and found.change > 1e-3, f"{found.note} {found}"


def _judge(cases: Iterable[NodeCase], all_operands: bool) -> tuple[dict[str, str], int, int]:
    """Failures with their notes, how many were compared, and how many lost something."""
    failed, compared, cut = {}, 0, 0
    for case in cases:
        status, noticed, note = _verdict(case.name, all_operands)
        if status == "different":
            failed[case.name] = note
        compared += status == "equal"
        cut += status == "equal" and noticed
    return failed, compared, cut


@pytest.mark.parametrize("all_operands", [False, True], ids=["first operand", "all operands"])
def test_one_case_of_every_operator(all_operands: bool) -> None:
    failed, compared, cut = _judge(_one_for_each_operator(), all_operands)
    assert not failed
    assert compared > 150
    assert cut > 120, "most of them must have had something to lose"


@pytest.mark.slow
@pytest.mark.parametrize("all_operands", [False, True], ids=["first operand", "all operands"])
def test_every_case(all_operands: bool) -> None:
    failed, compared, cut = _judge(node_cases(), all_operands)
    assert not failed
    assert compared > 1300
    assert cut > 900
