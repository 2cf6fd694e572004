"""A notebook, executed: the bar is a widget of its own, epochs are lines, and the last value is shown."""

import os
import sys
from pathlib import Path

import pytest

CELL = """
import numpy as np
import snnsim as sn

y = np.arange(60) % 3
model = sn.Model("3-10-3", dt=1.0, n_steps=20, neuron=sn.LIF(10.0, 5.0), lr=0.05, target_rate=2)
model.fit(np.eye(3)[y], y, epochs=2, batch_size=10)[-1]["epoch"]
"""


@pytest.mark.slow
def test_a_notebook_shows_progress(monkeypatch):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[2]), *sys.path]))
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(CELL)])
    nbclient.NotebookClient(book, timeout=300, kernel_name="python3").execute()
    outputs = book.cells[0].outputs
    assert any("application/vnd.jupyter.widget-view+json" in found.get("data", {}) for found in outputs)
    text = "".join(found.get("text", "") + found.get("data", {}).get("text/plain", "") for found in outputs)
    assert "own data 3-10-3, engine clock, 20 steps of 1: 60 training samples" in text
    assert "epoch 1: loss" in text
    assert "epoch 2: loss" in text
    assert outputs[-1]["data"]["text/plain"] == "2"
