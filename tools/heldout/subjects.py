"""The held-out networks: kind, task and exporter of each; none is of the family of a bundled model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Subject:
    """One network.

    Attributes:
        title: what kind it is, in words.
        build: module and function that make it.
        task: of `tasks.TASKS`.
        steps: of training.
        dynamo: which of torch's exporters writes it.
        rate: the largest learning rate.
        batch: samples in a step.
        free: axes besides the samples that are free, by input.
    """

    title: str
    build: tuple[str, str]
    task: str
    steps: int
    dynamo: bool
    rate: float = 3e-3
    batch: int = 64
    free: Mapping[str, Mapping[int, str]] | None = None


def _image(title: str, build: str, task: str, steps: int, dynamo: bool, rate: float = 4e-3) -> Subject:
    return Subject(title, ("nets_image", build), task, steps, dynamo, rate)


def _sequence(title: str, build: str, task: str, steps: int, dynamo: bool, **more: object) -> Subject:
    return Subject(title, ("nets_sequence", build), task, steps, dynamo, **more)  # type: ignore[arg-type]


SUBJECTS: Mapping[str, Subject] = {
    "mlp": _image("perceptron on digits", "mlp", "digits", 500, False),
    "compact": _image("EfficientNet-like, very narrow", "compact", "fashion", 900, True, 8e-3),
    "mobilenet": _image("MobileNetV2-like", "mobilenet", "fashion-small", 500, False),
    "gpt": _sequence("GPT-2-like on bytes", "Decoder", "source", 800, True, batch=8),
    "resnet": _image("plain ResNet", "resnet", "fashion-small", 500, True),
    "bert": _sequence("BERT-like with a mask", "Encoder", "passages", 700, False, rate=3e-3),
    "tagger": _sequence("LSTM in one direction", "Tagger", "kinds", 500, False, rate=6e-3, batch=32),
    "regnet": _image("RegNet-like, grouped", "regnet", "fashion-small", 400, False),
    "tcn": _sequence("dilated convolutions over time", "Tcn", "kinds", 400, True, batch=32),
    "convnext": _image("ConvNeXt-like", "convnext", "fashion-small", 500, True),
    "gru": _sequence("GRU over rows", "Gru", "rows", 700, False, rate=6e-3),
    "denoiser": _image("denoising autoencoder", "denoiser", "denoise", 350, False),
    "moe": _image("mixture of experts", "Mixture", "fashion-small", 900, True, 3e-3),
    "crnn": _sequence(
        "convolutions and LSTM, reads digits", "Crnn", "strips", 700, False, rate=6e-3, batch=32
    ),
    "shufflenet": _image("ShuffleNetV2-like", "shufflenet", "fashion-small", 500, True),
    "vgg": _image("VGG-like", "vgg", "fashion-small", 500, False),
    "mixer": _image("MLP-Mixer", "Mixer", "fashion", 450, False, 3e-3),
    "inception": _image("Inception-like", "inception", "fashion-small", 350, True),
    "wide": _image("over-wide", "wide", "fashion-small", 300, False),
}
