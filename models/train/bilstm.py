"""Two-layer bidirectional LSTM that says which standard-library package a passage of source comes from."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from . import sources
from .common import Recipe, Signature, batches, prepare, publish, train
from .splits import TEST_KEYS

RECIPE = Recipe("bilstm", "passages", steps=1200, peak_rate=4e-3, weight_decay=0.1)
WIDTH, HIDDEN = 48, 64


class BiLSTM(nn.Module):
    """Token ids (n, t) to logits (n, packages)."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(sources.TOKEN_IDS, WIDTH)
        self.lstm = nn.LSTM(WIDTH, HIDDEN, num_layers=2, batch_first=True, bidirectional=True, dropout=0.3)
        self.drop, self.head = nn.Dropout(0.3), nn.Linear(4 * HIDDEN, len(sources.PACKAGES))

    def forward(self, tokens: Tensor) -> Tensor:
        """Classify by the mean and the maximum over time."""
        states, _ = self.lstm(self.drop(self.embedding(tokens)))
        return self.head(self.drop(torch.cat([states.mean(1), states.amax(1)], 1)))


def main() -> None:
    """Train, export and measure."""
    prepare()
    tokens, labels, keys = sources.passages()
    learnt = keys >= TEST_KEYS
    inputs, answers = torch.from_numpy(tokens[learnt]), torch.from_numpy(labels[learnt])
    model = BiLSTM()
    train(model, batches(inputs, answers, 128), RECIPE, nn.CrossEntropyLoss(label_smoothing=0.05))
    axes, output_axes = {0: "batch", 1: "sequence"}, {0: "batch"}
    publish(model, Signature(inputs[:2], "tokens", "logits", axes, output_axes, dynamo=False), RECIPE)


if __name__ == "__main__":
    main()
