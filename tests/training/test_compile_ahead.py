"""With a cold cache the second process compiles the backward kernels that the first then finds."""

import json
import os
import subprocess
import sys

import pytest

from snnsim.training import compile_ahead

PROGRAM = """
import json
from numba.core import event
from snnsim import config
from snnsim.training.session import Session

compiled = []

class Listener(event.Listener):
    def on_start(self, e):
        compiled.append(e.data["dispatcher"].py_func.__name__)

    def on_end(self, e):
        pass

event.register("numba:compile", Listener())
session = Session(config.load(None, ["data.limit=100", "network.layers=[784,8,10]"]))
session.step()
session.step()
print(json.dumps(compiled))
"""
USED = """
import gc, json, sys
from numba.core.dispatcher import Dispatcher
from snnsim import config
from snnsim.training import compile_ahead
from snnsim.training.session import Session

chosen = config.load(None, ["data.limit=100", "network.layers=[784,8,10]"])
if sys.argv[1] == "ahead":
    compile_ahead.compile_backward(chosen)
else:
    Session(chosen).step()
found = {}
for kernel in gc.get_objects():
    if isinstance(kernel, Dispatcher) and kernel.signatures and kernel.targetoptions.get("parallel"):
        found.setdefault(kernel.py_func.__name__, []).extend(map(str, kernel.signatures))
print(json.dumps({name: sorted(signatures) for name, signatures in found.items()}))
"""


def test_what_is_compiled_ahead_is_what_a_backward_pass_takes():
    ahead, used = (
        json.loads(subprocess.check_output([sys.executable, "-c", USED, what])) for what in ("ahead", "train")
    )
    assert {"forward", "backward", "weight_gradient", "adam"} <= set(used)
    assert "forward" not in ahead
    for kernel in {"backward", *compile_ahead.BACKWARD} & set(used):
        assert ahead.get(kernel) == used[kernel], kernel


@pytest.mark.slow
def test_first_process_compiles_no_backward_kernel(tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment, check=True)
    assert done.stderr == ""
    compiled = json.loads(done.stdout)
    assert "forward" in compiled
    assert not set(compiled) & {"backward", *compile_ahead.BACKWARD}
    assert {path.name.split("-")[0].split(".")[-1] for path in tmp_path.rglob("*.nbi")} >= {
        "forward",
        "backward",
        "weight_gradient",
        "adam",
    }
