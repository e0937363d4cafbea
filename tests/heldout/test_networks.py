"""The networks of tools/heldout: they export, and the files give what the modules give; nothing is trained."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import graphprune

TOOLS = Path(__file__).resolve().parents[2] / "tools" / "heldout"
NEEDED = ("torch", "onnxscript", "onnxruntime")
NAMES = (
    "mlp compact mobilenet gpt resnet bert tagger regnet tcn convnext gru denoiser moe crnn shufflenet vgg "
    "mixer inception wide"
).split()
# Exports the networks of the command line and says how far each file is from its module.
PROGRAM = """
import json, sys, warnings
from pathlib import Path
warnings.simplefilter("ignore")
import numpy, onnxruntime, torch
from make import build, examples, export
from subjects import SUBJECTS
found = {}
for name in sys.argv[2:]:
    torch.manual_seed(0)
    module, path = build(SUBJECTS[name]).eval(), Path(sys.argv[1], f"{name}.onnx")
    export(module, SUBJECTS[name], examples(SUBJECTS[name]), path)
    given = examples(SUBJECTS[name], 3)
    made = onnxruntime.InferenceSession(str(path)).run(None, given)[0]
    with torch.no_grad():
        expected = module(*map(torch.from_numpy, given.values())).numpy()
    found[name] = float(numpy.abs(made - expected).max() / numpy.abs(expected).max())
Path(sys.argv[1], "found.json").write_text(json.dumps([found, list(SUBJECTS)]))
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        pytest.skip(f"exporting needs {', '.join(missing)}")
    folder = tmp_path_factory.mktemp("heldout")
    command = [sys.executable, "-c", PROGRAM, str(folder), *NAMES]
    subprocess.run(command, check=True, capture_output=True, timeout=600, cwd=TOOLS, env=_environment())
    errors, names = json.loads((folder / "found.json").read_text())
    assert names == NAMES
    return folder, errors


def _environment():
    import os

    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(TOOLS), os.environ.get("PYTHONPATH", "")])}


@pytest.mark.zoo
@pytest.mark.parametrize("name", NAMES)
def test_file_gives_what_the_module_gives_on_another_number_of_samples(exported, name):
    assert exported[1][name] < 1e-4


@pytest.mark.zoo
@pytest.mark.parametrize("name", NAMES)
def test_network_has_much_to_cut(exported, name):
    analysis = graphprune.analyse(exported[0] / f"{name}.onnx")
    assert any(not group.frozen for group in analysis.groups)
