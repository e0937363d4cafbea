"""The four networks that every framework builds, in numbers; no imports, so that any environment reads it.

cnn          conv, norm, relu; a residual block of two convs with norms; conv, norm, relu, max pool; flatten;
             dense, relu, dense. All convs 3 x 3, stride 1, same padding.
mlp          dense, relu, dense, relu, dense.
transformer  dense; layer norm, attention with biases, residual; layer norm, dense, gelu, dense, residual;
             layer norm, mean over the sequence, dense.
lstm         an LSTM that hands on its sequence, an LSTM of which the last step counts, dense.
"""

IMAGE, COLOURS, STEM, WIDE, POOL, FLAT = 12, 3, 8, 12, 4, 108
HIDDEN, CLASSES = 20, 5
FEATURES, FIRST, SECOND = 10, 24, 16
SEQUENCE, WIDTH, HEADS, HEAD, FORWARD = 6, 16, 4, 6, 40
LSTM_FIRST, LSTM_SECOND = 12, 14

NETWORKS = ("cnn", "mlp", "transformer", "lstm")
