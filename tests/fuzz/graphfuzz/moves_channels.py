"""Layers with weights along channels: convolutions, normalisations, affine and squeeze-excite gates."""

from __future__ import annotations

from graphfuzz.builder import Axis, Builder, Choices, Skip, Tensor


def _spatial(x: Tensor) -> bool:
    return x.rank in (3, 4) and isinstance(x.shape[1], int)


def _after(size: Axis, kernel: int, stride: int, pad: int) -> Axis:
    if stride == 1 and 2 * pad == kernel - 1:
        return size
    if isinstance(size, str):
        return f"({size}+{2 * pad - kernel})/{stride}"
    found = (size + 2 * pad - kernel) // stride + 1
    if found < 1:
        raise Skip
    return found


def _width(r: Choices, inside: int) -> int:
    return r.pick((inside, inside, 4, 6, 8, 12, 16))


def conv(b: Builder, r: Choices) -> None:
    x = b.some(r, _spatial)
    inside, space = x.static(1), x.shape[2:]
    group = r.pick([g for g in (1, 1, 1, 2, 3, 4, inside) if inside % g == 0])
    out = _width(r, inside)
    if out % group:
        out = group * r.number(1, 3)
    kernel = r.pick((1, 3))
    stride = r.pick((1, 1, 2))
    pad = kernel // 2 if r.chance(0.8) or any(isinstance(s, str) for s in space) else 0
    after = [_after(s, kernel, stride, pad) for s in space]
    n = len(space)
    shape = (out, inside // group, *[kernel] * n)
    inputs: list[Tensor | str] = [x, b.weight(r, shape)]
    if r.chance(0.6):
        inputs.append(b.weight(r, (out,), 1, "b"))
    b.keep(
        b.op(
            "Conv",
            inputs,
            (x.shape[0], out, *after),
            group=group if group > 1 or r.chance(0.5) else None,
            strides=[stride] * n,
            pads=[pad] * 2 * n,
            kernel_shape=[kernel] * n if r.chance(0.5) else None,
        )
    )


def depthwise(b: Builder, r: Choices) -> None:
    """Depthwise with a multiplier, then perhaps pointwise back."""
    x = b.some(r, _spatial)
    inside, n = x.static(1), x.rank - 2
    out = inside * r.pick((1, 1, 2))
    w = b.weight(r, (out, 1, *[3] * n))
    y = b.op("Conv", [x, w], (x.shape[0], out, *x.shape[2:]), group=inside, pads=[1] * 2 * n)
    if r.chance(0.5):
        w = b.weight(r, (inside, out, *[1] * n))
        y = b.op("Conv", [y, w], x.shape)
    b.keep(y)


def conv_transpose(b: Builder, r: Choices) -> None:
    x = b.some(r, _spatial)
    inside, space = x.static(1), x.shape[2:]
    group = r.pick([g for g in (1, 1, 2, 3, inside) if inside % g == 0])
    each = r.pick((1, 2, 3, 4))
    stride = r.pick((1, 2))
    after: list[Axis] = [
        s * stride if isinstance(s, int) else (s if stride == 1 else f"{s}*2") for s in space
    ]
    if any(isinstance(s, int) and s > 16 for s in after):
        raise Skip
    n = len(space)
    inputs: list[Tensor | str] = [x, b.weight(r, (inside, each, *[stride] * n), inside)]
    if r.chance(0.6):
        inputs.append(b.weight(r, (each * group,), 1, "b"))
    shape = (x.shape[0], each * group, *after)
    b.keep(b.op("ConvTranspose", inputs, shape, group=group, strides=[stride] * n))


def residual(b: Builder, r: Choices) -> None:
    """x + f(x) with a bottleneck, after ResNet."""
    x = b.some(r, _spatial)
    wide, n = x.static(1), x.rank - 2
    middle = r.pick((4, 6, 8))
    h = b.op("Conv", [x, b.weight(r, (middle, wide, *[1] * n))], (x.shape[0], middle, *x.shape[2:]))
    if r.chance(0.5):
        h = batch_norm_of(b, r, h)
    h = b.op("Relu", [h], h.shape)
    w = b.weight(r, (wide, middle, *[3] * n))
    h = b.op("Conv", [h, w, b.weight(r, (wide,), 1, "b")], x.shape, pads=[1] * 2 * n)
    b.keep(b.op("Add", r.shuffled([x, h]), x.shape))


def batch_norm_of(b: Builder, r: Choices, x: Tensor) -> Tensor:
    wide = x.static(1)
    given = [
        b.gain(r, (wide,)),
        b.weight(r, (wide,), 1, "b"),
        b.weight(r, (wide,), 1, "mean"),
        b.gain(r, (wide,), "var"),
    ]
    return b.op("BatchNormalization", [x, *given], x.shape, epsilon=1e-3)


def batch_norm(b: Builder, r: Choices) -> None:
    b.keep(batch_norm_of(b, r, b.some(r, lambda t: t.rank >= 2 and isinstance(t.shape[1], int))))


def instance_norm(b: Builder, r: Choices) -> None:
    x = b.some(r, _spatial)
    wide = x.static(1)
    b.keep(
        b.op(
            "InstanceNormalization",
            [x, b.gain(r, (wide,)), b.weight(r, (wide,), 1, "b")],
            x.shape,
            epsilon=1e-2,
        )
    )


def group_norm(b: Builder, r: Choices) -> None:
    """As one operator, or as torch exports it: Reshape, InstanceNormalization, Reshape, Mul, Add."""
    x = b.some(r, _spatial)
    wide = x.static(1)
    groups = r.pick([g for g in (1, 2, 3, 4) if wide % g == 0])
    if b.opset >= 21 and r.chance(0.5):
        given = (wide,)
        b.keep(
            b.op(
                "GroupNormalization",
                [x, b.gain(r, given), b.weight(r, given, 1, "b")],
                x.shape,
                num_groups=groups,
                epsilon=1e-2,
            )
        )
        return
    y = b.reshape(x, (x.shape[0], groups, f"flat({x.shape},{groups})"), (0, groups, -1))
    ones = b.gain(r, (groups,)), b.weight(r, (groups,), 1, "b")
    y = b.op("InstanceNormalization", [y, *ones], y.shape, epsilon=1e-2)
    if all(isinstance(s, int) for s in x.shape[1:]):
        y = b.reshape(y, x.shape, [0 if k == 0 else x.static(k) for k in range(x.rank)])
    else:
        y = b.op("Reshape", [y, b.shape_of(x)], x.shape)
    stretched = (wide, *[1] * (x.rank - 2))
    y = b.op("Mul", [y, b.gain(r, stretched)], x.shape)
    b.keep(b.op("Add", [y, b.weight(r, stretched, 1, "b")], x.shape))


def layer_norm(b: Builder, r: Choices) -> None:
    """As one operator or spelled out, over the last axis."""
    x = b.some(r, lambda t: isinstance(t.shape[-1], int) and t.shape[-1] > 1)
    wide = x.static(-1)
    gain, bias = b.gain(r, (wide,)), b.weight(r, (wide,), 1, "b")
    if b.opset >= 17 and r.chance(0.5):
        given: list[Tensor | str] = [x, gain] if r.chance(0.3) else [x, gain, bias]
        b.keep(b.op("LayerNormalization", given, x.shape, epsilon=1e-2))
        return
    mean = b.reduce("ReduceMean", x, [-1])
    centred = b.op("Sub", [x, mean], x.shape)
    squared = b.op("Pow", [centred, b.scalar(2.0)], x.shape)
    variance = b.reduce("ReduceMean", squared, [-1])
    deviation = b.op("Sqrt", [b.op("Add", [variance, b.scalar(1e-2)], variance.shape)], variance.shape)
    y = b.op("Div", [centred, deviation], x.shape)
    b.keep(b.op("Add", [b.op("Mul", [y, gain], x.shape), bias], x.shape))


def squeeze_excite(b: Builder, r: Choices) -> None:
    """A gate per channel computed from the mean over space."""
    x = b.some(r, _spatial)
    wide, n = x.static(1), x.rank - 2
    pooled = (x.shape[0], wide, *[1] * n)
    y = (
        b.op("GlobalAveragePool", [x], pooled)
        if r.chance(0.5)
        else b.reduce("ReduceMean", x, list(range(2, x.rank)))
    )
    middle = r.pick((2, 4))
    y = b.op("Conv", [y, b.weight(r, (middle, wide, *[1] * n))], (x.shape[0], middle, *[1] * n))
    y = b.op("Relu", [y], y.shape)
    y = b.op("Conv", [y, b.weight(r, (wide, middle, *[1] * n)), b.weight(r, (wide,), 1, "b")], pooled)
    gate = b.op(r.pick(("Sigmoid", "HardSigmoid", "Tanh")), [y], pooled)
    b.keep(b.op("Mul", r.shuffled([x, gate]), x.shape))


def affine(b: Builder, r: Choices) -> None:
    """A constant added or multiplied with one of numpy's broadcasts."""
    x = b.some(r)
    axes = x.static_axes(1)
    kept = [k for k in axes if r.chance(0.6)]
    shape = [x.static(k) if k in kept else 1 for k in range(x.rank)]
    while len(shape) > 1 and shape[0] == 1 and r.chance(0.5):
        del shape[0]
    op = r.pick(("Add", "Sub", "Mul", "Div", "Max"))
    constant = b.gain(r, shape) if op in ("Mul", "Div") else b.weight(r, shape, 1, "b")
    order: list[Tensor | str] = [x, constant]
    b.keep(b.op(op, order if op == "Div" or r.chance(0.6) else order[::-1], x.shape))


def prelu(b: Builder, r: Choices) -> None:
    x = b.some(r, lambda t: t.rank >= 2 and isinstance(t.shape[1], int))
    wide = x.static(1)
    shape = r.pick([(wide, *[1] * (x.rank - 2)), (1,)])
    b.keep(b.op("PRelu", [x, b.gain(r, shape)], x.shape))


def pool(b: Builder, r: Choices) -> None:
    x = b.some(r, _spatial)
    n = x.rank - 2
    if r.chance(0.3):
        op = r.pick(("GlobalAveragePool", "GlobalMaxPool"))
        b.keep(b.op(op, [x], (*x.shape[:2], *[1] * n)))
        return
    after = [_after(s, 2, 2, 0) for s in x.shape[2:]]
    op = r.pick(("MaxPool", "AveragePool", "LpPool"))
    b.keep(b.op(op, [x], (*x.shape[:2], *after), kernel_shape=[2] * n, strides=[2] * n))


def resize(b: Builder, r: Choices) -> None:
    """By scales, by sizes, or by sizes computed at run time from its own shape."""
    x = b.some(r, lambda t: _spatial(t) and all(isinstance(s, str) or s <= 8 for s in t.shape[2:]))
    n = x.rank - 2
    shape = (*x.shape[:2], *[s * 2 if isinstance(s, int) else f"{s}*2" for s in x.shape[2:]])
    if b.opset < 13:
        raise Skip
    mode = r.pick(("nearest", "linear"))
    kind = r.pick(("scales", "sizes", "runtime"))
    if kind == "sizes" and all(isinstance(s, int) for s in shape):
        b.keep(b.op("Resize", [x, "", "", b.ints([int(s) for s in shape])], shape, mode=mode))
    elif kind == "runtime":
        whole = b.shape_of(x)
        head = b.raw("Slice", [whole, b.ints([0]), b.ints([2]), b.ints([0])])
        tail = b.raw("Slice", [whole, b.ints([2]), b.ints([x.rank]), b.ints([0])])
        doubled = b.raw("Mul", [tail, b.ints([2] * n)])
        b.keep(b.op("Resize", [x, "", "", b.raw("Concat", [head, doubled], axis=0)], shape, mode=mode))
    else:
        import numpy as np

        scales = b.store(np.array([1, 1, *[2] * n], np.float32), "scales")
        b.keep(b.op("Resize", [x, "", scales], shape, mode=mode))


MOVES = {
    "conv": conv,
    "conv2": conv,  # twice as likely as the others
    "depthwise": depthwise,
    "conv_transpose": conv_transpose,
    "residual": residual,
    "batch_norm": batch_norm,
    "instance_norm": instance_norm,
    "group_norm": group_norm,
    "layer_norm": layer_norm,
    "squeeze_excite": squeeze_excite,
    "affine": affine,
    "prelu": prelu,
    "pool": pool,
    "resize": resize,
}
