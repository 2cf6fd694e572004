"""Neuron parameters: one number or one a neuron, checked once, compared by value."""

from dataclasses import replace

import numpy as np
import pytest

from snnsim.errors import InputError
from snnsim.network import Network
from snnsim.parameters import ALIF, LI, LIF, AdLIF, scheme_coefficients


def test_parameters_of_a_number_or_one_a_neuron_are_compared_by_value_and_hashed():
    spread = LIF(tau_mem=[0.5, 0.8], t_ref=np.array([0.0, 0.1]))
    assert spread == LIF(tau_mem=np.array([0.5, 0.8]), t_ref=[0.0, 0.1])
    assert hash(spread) == hash(LIF(tau_mem=[0.5, 0.8], t_ref=[0.0, 0.1]))
    assert spread != replace(spread, t_ref=0.0)
    assert replace(spread, v_threshold=2.0).tau_mem.tolist() == [0.5, 0.8]
    assert len({LIF(), LIF(), ALIF(), AdLIF()}) == 3
    assert (spread.size, LIF().size, ALIF(q=[1.0, 2.0, 3.0]).size) == (2, None, 3)
    with pytest.raises(ValueError, match="read-only"):
        spread.tau_mem[0] = 1.0


def test_a_membrane_starts_at_rest_unless_told_and_a_readout_keeps_what_it_has():
    assert LIF(v_leak=0.3).start == 0.3
    assert LIF(v_leak=0.3, v0=0.1).leaky() == LI(v_leak=0.3, v0=0.1)
    assert [p.plain for p in (LIF(), LIF(v_leak=0.1, v0=0.1), LI())] == [True] * 3
    other = (LIF(t_ref=0.1), LIF(v0=0.1), LIF(i0=0.1), LIF(tau_mem=[0.5, 0.8]), LIF(v_leak=1.5), ALIF(), LI(i0=1.0))
    assert not any(p.plain for p in other)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LIF(tau_mem=[0.5, -0.8]), r"tau_mem\[1\] = -0.8: must be a positive number"),
        (lambda: LIF(t_ref=-0.1), "t_ref = -0.1: must be a number of at least 0"),
        (lambda: ALIF(beta=-0.1), "beta = -0.1: must be a number of at least 0"),
        (lambda: AdLIF(tau_a=0.0), "tau_a = 0.0: must be a positive number"),
        (lambda: LIF(v0=np.nan), "v0 = nan: must be a finite number"),
        (lambda: LIF(tau_mem=[0.5, 0.8], tau_syn=[0.5, 0.6, 0.7]), "one a neuron, but tau_mem has 2, tau_syn has 3"),
        (lambda: LIF(tau_mem=np.ones((2, 2))), r"tau_mem: shape \(2, 2\): must be a number, or one a neuron"),
        (lambda: LIF(v_reset=[0.0, 1.0]), "must lie below v_threshold"),
        (lambda: scheme_coefficients(ALIF(), 0.01), "must be LIF or LI with one number each"),
        (lambda: Network().population("hidden", 3, LIF(r=[1.0, 2.0])), "2 values of a neuron parameter; it has 3"),
    ],
)
def test_parameters_out_of_range_are_refused_in_one_line(make, message):
    with pytest.raises(InputError, match=message):
        make()
