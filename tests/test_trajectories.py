"""Ten steps of training for every gradient, loss, scheme, reset, engine, encoder and optimiser, pinned."""

import json

import pytest

from tests.trajectories import CASES, FILE, STEPS, trajectory

# float64 throughout: another order of sums changes the sixteenth digit, and ten steps of Adam with 1/slope up to 1e4
# enlarge that to 1e-9 at most; any other formula or other random number shows in the third digit.
ROUNDING = 1e-7

RECORDED = json.loads(FILE.read_text())


@pytest.mark.parametrize("name", CASES)
def test_ten_steps_are_as_recorded(name):
    assert trajectory(CASES[name]) == pytest.approx(RECORDED[name], rel=ROUNDING)


def test_every_record_belongs_to_a_case_and_moves():
    assert RECORDED.keys() == CASES.keys()
    for name, losses in RECORDED.items():
        assert len(losses) == STEPS
        assert len(set(losses)) == STEPS, name
