"""The front door: read a model into `onnx_ir`, and write one back.

load(what)                    a path, a ModelProto, an ir.Model or a gs.Graph -> Source
check_output(path, source)    can the result go there? asked before long work
save(model, path)             whole or not at all
to_form(model, form)          the kind of object that came in
"""

from graphprune.load.convert import to_form
from graphprune.load.copying import copy_model
from graphprune.load.outputs import check_output
from graphprune.load.read import load
from graphprune.load.source import Form, Source
from graphprune.load.staging import Staging
from graphprune.load.write import save

__all__ = ["Form", "Source", "Staging", "check_output", "copy_model", "load", "save", "to_form"]
