"""Spike times beside NEST and Brian2, where their interpreters are named in the environment."""

import os

import pytest

from tests.comparisons.spike_times import compare, exact_spikes, peer_spikes, random_case

NEST = os.environ.get("SNNSIM_NEST_PYTHON")
BRIAN2 = os.environ.get("SNNSIM_BRIAN2_PYTHON")
ROUNDING = 1e-9  # asked for; measured 5e-15


@pytest.mark.slow
@pytest.mark.skipif(not NEST, reason="SNNSIM_NEST_PYTHON names no interpreter with NEST")
@pytest.mark.parametrize("model", ["iaf_psc_exp_ps", "iaf_psc_exp_ps_lossless"])
def test_nests_precise_neurons_spike_at_the_same_times(model):
    case = random_case(v_reset=-1e6, scale=4.0)  # one spike a neuron: NEST's are refractory for a step
    rows = compare(exact_spikes(case), peer_spikes(NEST, "nest_network.py", case, model=model, resolution=0.01))
    for mine, theirs, differing, worst in rows:
        assert mine == theirs > 10
        assert differing == 0
        assert worst < ROUNDING


@pytest.mark.slow
@pytest.mark.skipif(not BRIAN2, reason="SNNSIM_BRIAN2_PYTHON names no interpreter with Brian2")
def test_brian2_comes_closer_in_proportion_to_its_step():
    case = random_case(scale=0.6)
    exact = exact_spikes(case)
    worst = {}
    for dt in (1e-4, 1e-5):
        rows = compare(exact, peer_spikes(BRIAN2, "brian2_network.py", case, resolution=dt))
        assert all(mine == theirs > 10 and differing == 0 for mine, theirs, differing, _ in rows)
        worst[dt] = max(row[3] for row in rows)
    # A spike is late by up to a step, and steep or shallow crossings further on carry that along: some hundred steps.
    assert worst[1e-5] < 200 * 1e-5
    assert 5 < worst[1e-4] / worst[1e-5] < 20
