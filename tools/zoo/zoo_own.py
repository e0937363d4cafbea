"""Rows for the networks written here: one hard structure each, all exported in the first minutes of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import nets_hard as hard
import nets_image as image
import nets_sequence as sequence
import torch
from case import BATCH, Architecture, Built, vision
from torch import Tensor, nn

LENGTH = 12
TOKENS = {0: "batch", 1: "sequence"}
ONLY_BATCH = {0: "batch"}


def _ids(length: int = LENGTH) -> Tensor:
    return torch.randint(0, 99, (BATCH, length))


def _image(make: Callable[[], nn.Module], size: int = 32, open_size: bool = False) -> Callable[[], Built]:
    return lambda: vision(make(), size, open_size=open_size)


def _tokens(make: Callable[[], nn.Module]) -> Callable[[], Built]:
    return lambda: Built(make().eval(), {"ids": _ids()}, {"ids": TOKENS})


def _values(
    make: Callable[[], nn.Module],
    shapes: Mapping[str, tuple[int, ...]],
    axes: Mapping[int, str] | None = None,
) -> Callable[[], Built]:
    """A module fed with normal values of the given shapes, without their batch."""

    def build() -> Built:
        inputs = {name: torch.randn(BATCH, *shape) for name, shape in shapes.items()}
        return Built(make().eval(), inputs, dict.fromkeys(inputs, axes or ONLY_BATCH))

    return build


def _cross_attention() -> Built:
    inputs = {"source": torch.randn(LENGTH, BATCH, 32), "target": torch.randn(7, BATCH, 32)}
    axes = {"source": {0: "sequence", 1: "batch"}, "target": {0: "target_sequence", 1: "batch"}}
    return Built(sequence.CrossAttention().eval(), inputs, axes)


def _stateful() -> Built:
    inputs = {"features": torch.randn(BATCH, LENGTH, 16), "state": torch.randn(1, BATCH, 32)}
    return Built(sequence.StatefulGru().eval(), inputs, {"features": TOKENS, "state": {1: "batch"}})


def _seq2seq() -> Built:
    inputs = {"ids": _ids(), "decoder_ids": _ids(7)}
    axes = {"ids": TOKENS, "decoder_ids": {0: "batch", 1: "decoder_sequence"}}
    return Built(sequence.Seq2Seq().eval(), inputs, axes)


def _crnn() -> Built:
    net = sequence.Crnn().eval()
    return Built(net, {"image": torch.randn(BATCH, 1, 16, 48)}, {"image": {0: "batch", 3: "width"}})


def _ranking() -> Built:
    inputs = {"dense": torch.randn(BATCH, 8), "categories": torch.randint(0, 20, (BATCH, 3))}
    return Built(sequence.Ranking().eval(), inputs, dict.fromkeys(inputs, ONLY_BATCH))


def _graph() -> Built:
    inputs = {"features": torch.randn(BATCH, 9, 8), "adjacency": (torch.rand(BATCH, 9, 9) > 0.6).float()}
    return Built(sequence.GraphConv().eval(), inputs, dict.fromkeys(inputs, ONLY_BATCH))


def _messages() -> Built:
    inputs = {"features": torch.randn(9, 8), "edges": torch.randint(0, 9, (2, 20))}
    return Built(hard.Messages().eval(), inputs, {"features": {0: "nodes"}, "edges": {1: "edges"}})


BUILDERS: dict[str, Callable[[], Built]] = {
    "mlp_tied": _values(sequence.Mlp, {"x": (20,)}),
    "unet_bn_convT": _image(image.UNet, open_size=True),
    "unet_grouped_convT": _image(lambda: image.UNet(groups=4)),
    "diffusion_unet": _values(image.DiffusionUNet, {"image": (3, 32, 32), "step": (16,)}),
    "pixelshuffle_sr": _image(image.SuperResolution, open_size=True),
    "pixelunshuffle": _image(image.Unshuffle),
    "resnet_padded_shortcut": _image(image.PaddedShortcut),
    "detector": _image(image.Detector, 64),
    "generator": _values(image.Generator, {"latent": (16,)}),
    "channel_tricks": _image(image.ChannelTricks),
    "local_response": _image(image.LocalResponse),
    "siamese": _values(image.Siamese, {"first": (3, 32, 32), "second": (3, 32, 32)}),
    "conv3d": _values(image.Volumes, {"volume": (1, 8, 16, 16)}),
    "pyramid": _image(image.Bilinear, 64, open_size=True),
    "weight_standardised": _image(image.NormFree),
    "nn_TransformerEncoder": _tokens(sequence.Encoder),
    "nn_TransformerEncoder_prenorm": _tokens(lambda: sequence.Encoder(True)),
    "nn_Transformer": _cross_attention,
    "lstm2": _tokens(lambda: sequence.Recurrent(nn.LSTM, 2, False)),
    "lstm_both_ways": _tokens(lambda: sequence.Recurrent(nn.LSTM, 2, True)),
    "gru1": _tokens(lambda: sequence.Recurrent(nn.GRU, 1, False)),
    "gru_both_ways": _tokens(lambda: sequence.Recurrent(nn.GRU, 2, True)),
    "rnn": _tokens(lambda: sequence.Recurrent(nn.RNN, 1, False)),
    "gru_stateful": _stateful,
    "crnn": _crnn,
    "seq2seq": _seq2seq,
    "temporal_conv": _values(sequence.TemporalConv, {"signal": (4, 32)}),
    "wavenet": _values(sequence.WaveNet, {"signal": (1, 40)}),
    "attention_einsum": _tokens(lambda: sequence.SelfAttention("einsum")),
    "attention_linear": _tokens(lambda: sequence.SelfAttention("linear")),
    "attention_rotary": _tokens(lambda: sequence.SelfAttention("rotary")),
    "mixture": _values(sequence.Mixture, {"x": (24,)}),
    "ranking": _ranking,
    "pointnet": _values(sequence.PointNet, {"points": (3, 50)}),
    "graph_conv": _graph,
    "messages": _messages,
    "capsules": _values(hard.Capsules, {"image": (1, 28, 28)}),
    "token_gate": _values(hard.TokenGate, {"x": (LENGTH, 6)}),
    "fourier_operator": _values(hard.FourierOperator, {"signal": (3, 32)}),
    "hyper": _values(hard.Hyper, {"x": (8,), "task": (6,)}),
    "attended": _image(hard.Attended, 16),
    "aligned": _values(hard.Aligned, {"source": (10, 6), "target": (5, 6)}),
    "heads": _values(hard.Heads, {"image": (3, 32, 32), "meta": (5,)}),
    "modulated": _values(hard.Modulated, {"latent": (16,)}),
    "codebook": _image(hard.Codebook, 16),
    "flow": _values(hard.Flow, {"x": (8,)}),
    "involution": _image(hard.Involution, 16),
    "octaves": _image(hard.Octaves),
    "conv_lstm": _values(hard.ConvLstm, {"frames": (3, 2, 8, 8)}),
    "residuals": _image(hard.Residuals, 16),
}


def rows() -> list[Architecture]:
    """Return the rows of this project's own networks."""
    table = [Architecture(f"own_{name}", "own", 0, build) for name, build in BUILDERS.items()]
    looping = _values(sequence.Looping, {"x": (LENGTH, 6)}, {0: "batch", 1: "sequence"})
    branching = _values(sequence.Branching, {"x": (12,)})
    table += [
        Architecture("own_loop", "own", 0, looping, only=frozenset({"torchscript"})),
        Architecture("own_branch", "own", 0, branching, only=frozenset({"dynamo"})),
    ]
    return table
