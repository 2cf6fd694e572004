"""Recurrent networks beside NEST and Brian2, where their interpreters are named in the environment."""

import os

import pytest

from tests.comparisons import recurrent_times
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


@pytest.mark.slow
@pytest.mark.skipif(not NEST, reason="SNNSIM_NEST_PYTHON names no interpreter with NEST")
def test_nests_precise_neurons_in_a_loop_spike_at_the_same_times():
    network, spikes, case = recurrent_times.make()
    for model, bins in (("iaf_psc_exp_ps_lossless", None), ("iaf_psc_exp_ps", case["n_steps"])):
        mine, other = recurrent_times.ours(network, spikes, bins), recurrent_times.in_nest(NEST, case, model)
        here, there, differing, _, worst = recurrent_times.compare(mine, other)
        assert here == there > 500, model
        assert differing == 0, model
        assert worst < 1e-9, model  # measured 5e-13


@pytest.mark.slow
@pytest.mark.skipif(not BRIAN2, reason="SNNSIM_BRIAN2_PYTHON names no interpreter with Brian2")
def test_brian2_in_a_loop_comes_closer_in_proportion_to_its_step():
    network, spikes, case = recurrent_times.make()
    exact = recurrent_times.ours(network, spikes)
    means = [recurrent_times.compare(exact, recurrent_times.in_brian2(BRIAN2, case, dt))[3] for dt in (1e-2, 1e-3)]
    assert 5 < means[0] / means[1] < 20
