"""Calibration inputs: unlabelled examples of what a model will see, from wherever users keep them.

calibration.py  Calibration: batches of feeds, where they came from, checks against the model's inputs
batches.py      samples that come one by one, gathered
fitting.py      one entry as arrays by input name, labels left out
files.py        .npz, .npy, folders of them
images.py       folders of pictures, with stated preprocessing
request.py      what is asked of them, looked at before the work
hook.py         module:function
held.py         inputs that can be read only once, held in memory
given.py        the sizes that inputs have and some of them, read before anything else is known of a model
synthetic.py    inputs made up, for when there are none
pictures.py     what is made up for images
speaker.py      which models are language models
sampled.py      what a language model draws itself
"""

from graphprune.calibrate.calibration import Calibration, load_calibration
from graphprune.calibrate.given import given_examples, given_sizes
from graphprune.calibrate.held import Held, hold
from graphprune.calibrate.request import check_request, is_noise
from graphprune.calibrate.synthetic import KINDS

__all__ = [
    "KINDS",
    "Calibration",
    "Held",
    "check_request",
    "given_examples",
    "given_sizes",
    "hold",
    "is_noise",
    "load_calibration",
]
