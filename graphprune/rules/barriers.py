"""Operators that cannot have a rule, each with the reason, and domains that have none at all."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_VALUES = "its output depends on values"
_MIXED = "every slot depends on all others"
_RANDOM = "its random numbers depend on how many are drawn"
_SEQUENCE = "it works on sequences, whose elements need not have one shape"
_OPTIONAL = "it works on optional values, which may have no shape"
_TEXT = "it works on text, which holds no weights"
_LENGTHS = "it is written for one device, for positions or tokens laid out by the lengths of sequences"
_SEARCH = "it is one step of a search, with buffers that the search lays out"
_LOSS = "a loss compares its classes slot by slot"
_CHOOSES = "it runs a whole model inside and chooses words by value"
_BITS = "it packs several slots into one number"
_STATE = "it updates a state slot by slot in a layout of its own"
_DEVICE = "its weights are packed in a layout that only one device knows"
_TABLE = "it looks words up by value"

_DEFAULT = {
    "NonZero": _VALUES,
    "Unique": _VALUES,
    "NonMaxSuppression": _VALUES,
    "STFT": _MIXED,
    "ImageDecoder": _VALUES,
    "AffineGrid": "it turns matrices into positions of the image",
    "MaxUnpool": "its indices count the elements of all channels",
    **dict.fromkeys(("Bernoulli", "RandomNormalLike", "RandomUniformLike"), _RANDOM),
    **dict.fromkeys(
        "ConcatFromSequence SequenceAt SequenceConstruct SequenceEmpty SequenceErase SequenceInsert "
        "SequenceLength SequenceMap SplitToSequence".split(),
        _SEQUENCE,
    ),
    **dict.fromkeys(("Optional", "OptionalGetElement", "OptionalHasElement"), _OPTIONAL),
    **dict.fromkeys(
        ("RegexFullMatch", "StringConcat", "StringNormalizer", "StringSplit", "TfIdfVectorizer"), _TEXT
    ),
    **dict.fromkeys(("NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"), _LOSS),
}

_MICROSOFT = {
    **dict.fromkeys("Unique NGramRepeatBlock GatherPacked BifurcationDetector IsAllFinite".split(), _VALUES),
    **dict.fromkeys("Inverse Rfft Irfft ComplexMul ComplexMulConj DynamicTimeWarping".split(), _MIXED),
    **dict.fromkeys("BeamSearch GreedySearch Sampling WhisperBeamSearch".split(), _CHOOSES),
    **dict.fromkeys(
        "Tokenizer MurmurHash3 NGramHashMapping VarlenNGramHashMapping WordConvEmbedding".split(), _TABLE
    ),
    **dict.fromkeys(
        "QuantizeBFP DequantizeBFP QuantizeWithOrder DequantizeWithOrder QOrderedAttention QOrderedGelu "
        "QOrderedLayerNormalization QOrderedLongformerAttention QOrderedMatMul MatMulFpQ4 GemmFloat8 "
        "MatMulBlockQuantizedFp4Weight MatMulBlockQuantizedFp8Weight MatMulNBitsMlp MatMulNBitsQLoRA "
        "MatMulNBitsQkv MatMulPacked EPContext Snpe".split(),
        _DEVICE,
    ),
    **dict.fromkeys(
        "AttnLSTM ConvStateReplay GatedDeltaNet GatedDeltaNetStateReplay "
        "HyperConnectionLowRankMix Mamba2Verify SpeculativePrefixCommit VarlenCausalConvWithState".split(),
        _STATE,
    ),
    **dict.fromkeys(
        "DynamicSparseAttention GatedRelativePositionBias "
        "GemmaRotaryEmbedding LongformerAttention MoEPacked PackedAttention "
        "PackedMultiHeadAttention PackedSparseAttentionIndexer PackedSparseAttentionIndexerMerge "
        "PagedAttention RMSNormRotary RelativePositionBias RemovePadding RestorePadding RouterGateUpProj "
        "SparseAttentionIndexer SparsePagedAttention".split(),
        _LENGTHS,
    ),
    **dict.fromkeys(
        ("DecoderAttention", "DecoderMaskedMultiHeadAttention", "DecoderMaskedSelfAttention"), _SEARCH
    ),
    **dict.fromkeys(("BitmaskDropout", "BitmaskBiasDropout"), _BITS),
    **dict.fromkeys(("TorchEmbedding", "SparseToDenseMatMul"), "its table is not a plain tensor"),
    "MoEGroupRouter": "it chooses experts by value, one group of them after the other",
    "SparseAttention": "its heads take the layouts of a table in turn",
    "EngramGate": "its keys and queries are normalised and compared as a whole",
    "SampleOp": "it is an example without use",
    "MaxpoolWithMask": "the shape of its mask is known to the runtime only",
}

BARRIERS: Mapping[tuple[str, str], str] = MappingProxyType(
    {("", op): why for op, why in _DEFAULT.items()}
    | {("com.microsoft", op): why for op, why in _MICROSOFT.items()}
)

DOMAINS: Mapping[str, str] = MappingProxyType(
    {
        "ai.onnx.ml": "trees, encoders and classifiers choose by value and hold no matrix to cut",
        "ai.onnx.preview.training": "optimisers and gradients are for training, not for a trained model",
        "ai.onnx.preview": "operators of this domain may still change their meaning",
        "com.microsoft.nchwc": "weights are laid out in blocks for another processor; "
        "prune the model before it is optimised for a machine",
        "com.ms.internal.nhwc": "operators of this domain exist inside the runtime only",
    }
)
"""Why nothing of a domain has a rule."""


def reason_without_rule(domain: str, op: str) -> str:
    """Why an operator without a rule is a barrier, in words for users."""
    domain = "" if domain == "ai.onnx" else domain
    if (domain, op) in BARRIERS:
        return BARRIERS[domain, op]
    if domain in DOMAINS:
        return DOMAINS[domain]
    return f"no rule for operator {op}" + (f" of domain {domain}" if domain else "")
