import platform
from importlib import metadata

import numpy as np

from graphprune.runtime import environment


def test_says_what_is_there():
    found = environment()
    assert found.python == platform.python_version()
    assert found.packages["numpy"] == np.__version__
    assert found.packages["onnxruntime"] == metadata.version("onnxruntime")
    assert found.cores >= 1
    assert found.cpu
    text = "\n".join(found.lines())
    assert f"numpy {np.__version__}" in text
    assert f"{found.cores} cores" in text


def test_two_runtimes_are_a_warning(monkeypatch):
    assert environment().warnings == ()
    monkeypatch.setattr(metadata, "version", lambda name: "1.0")
    (warning,) = environment().warnings
    assert "onnxruntime and onnxruntime-gpu are both installed" in warning


def test_missing_packages_are_left_out(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert environment().packages == {}
