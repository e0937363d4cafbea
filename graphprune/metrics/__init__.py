"""How good a model is, by the user's own measure or by labels.

predict.py   Predict: what a metric is given, a model that can be called
metric.py    Metric: the user's function, and what it measured
labels.py    the share of inputs whose label comes out on top
evaluate.py  several models side by side
"""

from graphprune.metrics.evaluate import Evaluation, evaluate_models
from graphprune.metrics.labels import label_metric
from graphprune.metrics.metric import Metric, load_metric
from graphprune.metrics.predict import Predict, opened

__all__ = ["Evaluation", "Metric", "Predict", "evaluate_models", "label_metric", "load_metric", "opened"]
