"""Make the weights of an untrained network as lively as those of a trained one.

As initialised, about one network in five answers the same to every input to within 1 %: gains of zero,
layer scales of 1e-6, statistics that fit no input. Every comparison of outputs then passes, proving nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

LIVELY_GAIN = 0.5  # a layer whose weights shrink their input more than this is scaled up to a gain of 1


@torch.no_grad()
def randomise(module: nn.Module, example: tuple[torch.Tensor, ...], seed: int) -> None:
    """Randomise gains, biases, constant parameters and norm statistics of `module` in place.

    Args:
        module: In eval mode on entry and on return.
        example: Inputs to measure the norm statistics with.
        seed: Of torch's generator, which is reset.
    """
    torch.manual_seed(seed)
    for name, parameter in module.named_parameters():
        if parameter.is_floating_point():
            _liven_vector(name, parameter)
    for layer in module.modules():
        _liven_layer(layer)
    _measure_statistics(module, example)


def _liven_vector(name: str, parameter: nn.Parameter) -> None:
    """Give a vector (also one shaped like `(C, 1, 1)`) or a constant parameter random values."""
    is_vector = parameter.numel() == max(parameter.shape, default=1)
    is_constant = parameter.numel() > 1 and bool((parameter == parameter.flatten()[0]).all())
    if not (is_vector or is_constant):
        return
    if "bias" in name.rsplit(".", 1)[-1] or not is_vector:
        parameter.normal_(0.0, 0.1)
    else:
        parameter.uniform_(0.5, 1.5)


def _liven_layer(layer: nn.Module) -> None:
    """Scale up the weight of a layer that would all but silence its input."""
    weight = getattr(layer, "weight", None)
    if not isinstance(weight, nn.Parameter) or weight.ndim < 2 or not weight.is_floating_point():
        return
    if isinstance(layer, nn.Embedding):
        if weight.std() < 0.2:
            weight.mul_(0.5 / weight.std().clamp(min=1e-6))
        return
    gain = weight.std() * (weight.numel() / weight.shape[0]) ** 0.5
    if gain < LIVELY_GAIN:
        weight.div_(gain.clamp(min=1e-6))


def _measure_statistics(module: nn.Module, example: tuple[torch.Tensor, ...]) -> None:
    """Set the running statistics of batch norms to those of `example`, then perturb them."""
    norms = list(_batch_norms(module))
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    with contextlib.suppress(ValueError):  # one value per channel (1 x 1 at batch 1) has no variance
        module(*example)
    module.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        _perturb(norm)


def _batch_norms(module: nn.Module) -> Iterator[_BatchNorm]:
    for layer in module.modules():
        if isinstance(layer, _BatchNorm) and layer.running_mean is not None:
            yield layer


def _perturb(norm: _BatchNorm) -> None:
    """Move the statistics off the example's own, so that no channel is centred exactly."""
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None:
        return
    # Two samples can agree by chance; a tiny variance would amplify that channel without bound.
    variance.clamp_(min=max(0.2 * float(variance.mean()), 1e-4))
    variance.mul_(torch.empty_like(variance).uniform_(0.5, 1.5))
    mean.add_(0.2 * variance.sqrt() * torch.randn_like(mean))
