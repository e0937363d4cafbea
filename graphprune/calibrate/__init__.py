"""Calibration inputs: unlabelled examples of what a model will see, from wherever users keep them.

calibration.py  Calibration: batches of feeds, where they came from, checks against the model's inputs
files.py        .npz, .npy, folders of them
images.py       folders of pictures, with stated preprocessing
hook.py         module:function
synthetic.py    inputs made up, for when there are none
"""

from graphprune.calibrate.calibration import Calibration, load_calibration

__all__ = ["Calibration", "load_calibration"]
