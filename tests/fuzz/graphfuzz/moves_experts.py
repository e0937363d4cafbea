"""Mixtures of experts: a router, a choice by TopK or ArgMax or none, and weights side by side."""

from __future__ import annotations

import numpy as np

from graphfuzz.builder import Builder, Choices, Skip, Tensor


def _score(b: Builder, r: Choices, x: Tensor, experts: int) -> Tensor:
    logits = b.linear(r, x, experts, bias=r.chance(0.5))
    # Far apart: where two are equal but for rounding, either may be chosen.
    logits = b.op("Mul", [logits, b.scalar(3.0)], logits.shape)
    if r.chance(0.7):
        return b.op("Softmax", [logits], logits.shape, axis=-1)
    return b.op("Sigmoid", [logits], logits.shape)


def soft_experts(b: Builder, r: Choices) -> None:
    """Every expert sees every token; a softmax over the experts mixes them."""
    if b.opset < 12:
        raise Skip
    x = b.some(r, lambda t: t.rank in (2, 3) and isinstance(t.shape[-1], int))
    wide, experts, inner = x.static(-1), r.number(2, 5), r.number(2, 6)
    logits = b.linear(r, x, experts)
    share = b.op("Softmax", [logits], logits.shape, axis=-1)
    letters = "bt"[: x.rank - 1]
    first, second = b.weight(r, (experts, wide, inner), wide), b.weight(r, (experts, inner, wide), inner)
    hidden = b.op(
        "Einsum",
        [x, first],
        (*x.shape[:-1], experts, inner),
        equation=f"{letters}d,edf->{letters}ef",
    )
    hidden = b.op(r.pick(("Relu", "Tanh", "Sigmoid")), [hidden], hidden.shape)
    each = b.op(
        "Einsum", [hidden, second], (*x.shape[:-1], experts, wide), equation=f"{letters}ef,efd->{letters}ed"
    )
    y = b.op("Einsum", [each, share], x.shape, equation=f"{letters}ed,{letters}e->{letters}d")
    b.keep(b.op("Add", [x, y], x.shape) if r.chance(0.7) else y)


def chosen_experts(b: Builder, r: Choices) -> None:
    """Some experts for each row, picked by number or by rows of ones and zeros."""
    if b.opset < 12:
        raise Skip
    x = b.some(r, lambda t: t.rank == 2 and isinstance(t.shape[-1], int))
    wide, experts = x.static(-1), r.number(3, 6)
    count = r.number(1, 2)
    score = _score(b, r, x, experts)
    best, which = b.ops("TopK", [score, b.ints([count])], [(x.shape[0], count)] * 2, axis=-1)
    stored = b.weight(r, (experts, wide, wide), wide)
    kind = r.pick(("gather", "one_hot", "scatter"))
    if kind == "gather":
        matrices = b.op("Gather", [stored, which], (x.shape[0], count, wide, wide), axis=0)
        each = b.op("MatMul", [b.unsqueeze(b.unsqueeze(x, 1), 2), matrices], (x.shape[0], count, 1, wide))
        y = b.op("Einsum", [each, best], x.shape, equation="bkxd,bk->bd")
    else:
        every = b.op("Einsum", [x, stored], (x.shape[0], experts, wide), equation="bd,edf->bef")
        if kind == "one_hot":
            ones = b.op(
                "OneHot",
                [which, b.ints(experts), b.store(np.array([0, 1], np.float32), "values")],
                (x.shape[0], count, experts),
                axis=-1,
            )
            share = b.op("Einsum", [best, ones], (x.shape[0], experts), equation="bk,bke->be")
        else:
            blank = b.op("Mul", [score, b.scalar(0.0)], score.shape)
            share = b.op("ScatterElements", [blank, which, best], score.shape, axis=1)
        y = b.op("Einsum", [every, share], x.shape, equation="bef,be->bf")
    b.keep(b.op("Add", [x, y], x.shape))


def _one(b: Builder, r: Choices, x: Tensor, share: Tensor, number: int) -> Tensor:
    """The share of one expert: (..., 1)."""
    if r.chance(0.5):
        bounds = [b.ints([number]), b.ints([number + 1]), b.ints([x.rank - 1])]
        return b.op("Slice", [share, *bounds], (*x.shape[:-1], 1))
    picked = b.op("Gather", [share, b.ints(number)], x.shape[:-1], axis=x.rank - 1)
    return b.unsqueeze(picked, x.rank - 1)


def written_out_experts(b: Builder, r: Choices) -> None:
    """Experts one by one, each with its share, summed in one of several ways or stacked and mixed."""
    if b.opset < 12:
        raise Skip
    x = b.some(r, lambda t: t.rank in (2, 3) and isinstance(t.shape[-1], int))
    wide, experts = x.static(-1), r.number(2, 4)
    logits = b.linear(r, x, experts)
    share = b.op("Softmax", [logits], logits.shape, axis=-1)
    made = [b.op("Tanh", [b.linear(r, x, wide)], x.shape) for _ in range(experts)]
    if r.chance(0.3):
        axis = x.rank - 1
        shape = (*x.shape[:-1], experts, wide)
        stack = b.op("Concat", [b.unsqueeze(m, axis) for m in made], shape, axis=axis)
        mixed = b.op("Mul", [stack, b.unsqueeze(share, x.rank)], shape)
        b.keep(b.reduce("ReduceSum", mixed, [axis], keep=False))
        return
    parts = [b.op("Mul", [m, _one(b, r, x, share, k)], x.shape) for k, m in enumerate(made)]
    if r.chance(0.3):
        parts.append(x)
    parts = r.shuffled(parts)
    while len(parts) > 1:
        one, two = parts.pop(r.number(0, len(parts) - 1)), parts.pop(r.number(0, len(parts) - 1))
        parts.append(b.op("Add", [one, two], x.shape))
    b.keep(parts[0])


def compared_experts(b: Builder, r: Choices) -> None:
    """Experts one by one, with shares where their number was chosen, or on the rows that chose them."""
    if b.opset < 18:
        raise Skip
    x = b.some(r, lambda t: t.rank == 2 and isinstance(t.shape[-1], int))
    wide, experts = x.static(-1), r.number(2, 4)
    score, count = _score(b, r, x, experts), r.number(1, 2)
    best, which = b.ops("TopK", [score, b.ints([count])], [(x.shape[0], count)] * 2, axis=-1)
    total, rows = x, r.chance(0.5)
    for number in range(experts):
        layer = b.weight(r, (wide, wide), wide)
        chosen = b.raw("Equal", [which, b.ints(number)])
        if rows:
            found = b.raw("NonZero", [chosen])
            places = b.raw("Gather", [found, b.ints(0)], axis=0)
            share = b.raw("GatherND", [best, b.raw("Transpose", [found], perm=[1, 0])])
            made = b.raw("MatMul", [b.raw("Gather", [x, places], axis=0), layer])
            made = b.raw("Mul", [made, b.raw("Unsqueeze", [share, b.ints([1])])])
            where = b.raw("Unsqueeze", [places, b.ints([1])])
            total = b.op("ScatterND", [total, where, made], x.shape, reduction="add")
        else:
            kept = b.op("Mul", [best, b.raw("Cast", [chosen], to=1)], best.shape)
            each = b.op("MatMul", [x, layer], x.shape)
            part = b.op("Mul", [each, b.reduce("ReduceSum", kept, [1])], x.shape)
            total = b.op("Add", r.shuffled([total, part]), x.shape)
    b.keep(total)


MOVES = {
    "soft_experts": soft_experts,
    "chosen_experts": chosen_experts,
    "written_out_experts": written_out_experts,
    "compared_experts": compared_experts,
}
