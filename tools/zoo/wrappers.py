"""Thin modules that give a library's model plain tensors in and one tensor out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn


class Pick(nn.Module):
    """Return one entry of the mapping that `net` returns."""

    def __init__(self, net: nn.Module, key: str) -> None:
        super().__init__()
        self.net, self.key = net, key

    def forward(self, image: torch.Tensor) -> Any:
        """Return the picked entry for `(batch, 3, height, width)` images."""
        return self.net(image)[self.key]


class LastOfList(nn.Module):
    """Return the last of the tensors that `net` returns for two inputs."""

    def __init__(self, net: nn.Module, options: Mapping[str, Any]) -> None:
        super().__init__()
        self.net, self.options = net, dict(options)

    def forward(self, first: torch.Tensor, second: torch.Tensor) -> Any:
        """Return the last estimate for two batches of images."""
        return self.net(first, second, **self.options)[-1]


class _Hugging(nn.Module):
    """A transformers model and the name of the field of its output that is wanted."""

    def __init__(self, net: nn.Module, field: str, options: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.net, self.field, self.options = net, field, dict(options or {})

    def _pick(self, **inputs: torch.Tensor) -> Any:
        return getattr(self.net(**inputs, **self.options), self.field)


class Text(_Hugging):
    """Token ids and their mask, each `(batch, sequence)`."""

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        """Return the wanted field."""
        return self._pick(input_ids=input_ids, attention_mask=attention_mask)


class Ids(_Hugging):
    """Token ids alone, `(batch, sequence)`."""

    def forward(self, input_ids: torch.Tensor) -> Any:
        """Return the wanted field."""
        return self._pick(input_ids=input_ids)


class TextToText(_Hugging):
    """Encoder and decoder ids with a mask each, all `(batch, sequence)`."""

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        decoder_input_ids: torch.Tensor,
        decoder_attention_mask: torch.Tensor,
    ) -> Any:
        """Return the wanted field."""
        return self._pick(
            input_ids=input_ids,
            attention_mask=attention_mask,
            decoder_input_ids=decoder_input_ids,
            decoder_attention_mask=decoder_attention_mask,
        )


class SpeechToText(_Hugging):
    """Mel features `(batch, mels, frames)`, decoder ids and their mask `(batch, sequence)`."""

    def forward(
        self,
        input_features: torch.Tensor,
        decoder_input_ids: torch.Tensor,
        decoder_attention_mask: torch.Tensor,
    ) -> Any:
        """Return the wanted field."""
        return self._pick(
            input_features=input_features,
            decoder_input_ids=decoder_input_ids,
            decoder_attention_mask=decoder_attention_mask,
        )


class ImageAndText(_Hugging):
    """Images with token ids and their mask."""

    def forward(
        self, pixel_values: torch.Tensor, input_ids: torch.Tensor, attention_mask: torch.Tensor
    ) -> Any:
        """Return the wanted field."""
        return self._pick(pixel_values=pixel_values, input_ids=input_ids, attention_mask=attention_mask)


class One(_Hugging):
    """A single tensor, passed on under the keyword that the model calls it."""

    def __init__(
        self, net: nn.Module, field: str, keyword: str, options: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(net, field, options)
        self.keyword = keyword

    def forward(self, values: torch.Tensor) -> Any:
        """Return the wanted field."""
        return self._pick(**{self.keyword: values})
