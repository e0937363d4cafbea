"""Which inputs of which operators hold sizes, axes or offsets rather than data."""

from collections.abc import Mapping

_REDUCTIONS = (
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSum",
    "ReduceSumSquare",
)

# Operator -> input positions. A Gather's indices count when they are a scalar or a vector.
SHAPE_POSITIONS: Mapping[str, range] = {
    **dict.fromkeys(_REDUCTIONS, range(1, 2)),
    "AffineGrid": range(1, 2),
    "BlackmanWindow": range(1),
    "CenterCropPad": range(1, 2),
    "Col2Im": range(1, 3),
    "Compress": range(1, 2),
    "ConstantOfShape": range(1),
    "CumSum": range(1, 2),
    "DFT": range(1, 3),
    "Expand": range(1, 2),
    "Gather": range(1, 2),
    "HammingWindow": range(1),
    "HannWindow": range(1),
    "Loop": range(1),
    "MaxUnpool": range(2, 3),
    "MelWeightMatrix": range(5),
    "NonMaxSuppression": range(2, 3),
    "OneHot": range(1, 2),
    "Pad": range(1, 4),
    "Range": range(3),
    "Reshape": range(1, 2),
    "Resize": range(1, 4),
    "STFT": range(1, 2),
    "SequenceAt": range(1, 2),
    "Slice": range(1, 5),
    "Split": range(1, 2),
    "SplitToSequence": range(1, 2),
    "Squeeze": range(1, 2),
    "Tile": range(1, 3),
    "TopK": range(1, 2),
    "Trilu": range(1, 2),
    "Unsqueeze": range(1, 2),
    "Upsample": range(1, 2),
}
