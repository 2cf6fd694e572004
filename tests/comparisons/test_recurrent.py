"""Recurrent networks beside NEST and Brian2, where their interpreters are named in the environment."""

import os

import pytest

from tests.comparisons.recurrent import agreement, make, ours, theirs

NEST = os.environ.get("SNNSIM_NEST_PYTHON")
BRIAN2 = os.environ.get("SNNSIM_BRIAN2_PYTHON")


def all_agree(python, script, tau_inh):
    network, inputs, initial, case = make(n_steps=5000, tau_inh=tau_inh)
    here, there, both, _ = agreement(ours(network, inputs, initial, case), theirs(python, script, case), case["n"])
    assert here == there == both > 500


@pytest.mark.slow
@pytest.mark.skipif(not NEST, reason="SNNSIM_NEST_PYTHON names no interpreter with NEST")
@pytest.mark.parametrize("tau_inh", [0.5, 2.0])
def test_every_spike_is_nests_on_its_grid(tau_inh):
    all_agree(NEST, "nest_recurrent.py", tau_inh)


@pytest.mark.slow
@pytest.mark.skipif(not BRIAN2, reason="SNNSIM_BRIAN2_PYTHON names no interpreter with Brian2")
def test_every_spike_is_brian2s_on_its_grid():
    all_agree(BRIAN2, "brian2_recurrent.py", 0.5)
