"""The command that kills what writes finds nothing lost."""

import json

import pytest

from tests.kill import main


@pytest.mark.parametrize(
    ("kinds", "kills"),
    [("recording", 3), pytest.param("training,recording,sweep,mpi", 30, marks=pytest.mark.slow)],
)
def test_kills_lose_nothing(capfd, kinds, kills):
    assert main(["--kills", str(kills), "--kinds", kinds]) == 0
    told = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert sum(told["kills"].values()) == kills
    assert told["lost"] == {"epochs": 0, "metrics": 0, "trials": 0, "points": 0}
