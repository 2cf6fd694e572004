"""``snnsim train --record``: chosen batches of a training as a recording."""

import numpy as np

import snnsim
from snnsim import config
from snnsim.training import Session, train
from snnsim.training.recorder import Record

SMALL = ["data.limit=300", "network.layers=[784, 20, 10]", "training.epochs=1"]


def test_recorded_batches_are_those_trained_on_and_change_nothing(tmp_path):
    plain = train(config.load(None, SMALL), tmp_path / "plain")
    recorder = Record(tmp_path / "traces", slice(1, 3), record=("spikes", "v"))
    recorded = train(config.load(None, SMALL), tmp_path / "recorded", callbacks=[recorder])
    assert plain["test_loss"] == recorded["test_loss"]
    session = Session(config.load(None, SMALL))
    session.step()
    with snnsim.open_traces(tmp_path / "traces") as traces:
        assert len(traces.trials) == recorder.trials == 100
        for start in (0, 50):
            values, labels, ids = session.next_batch()
            trials = traces.trials[start : start + 50]
            np.testing.assert_array_equal(trials["sample_index"], ids)
            np.testing.assert_array_equal(trials["label"], labels)
            session.engine.forward(session.tensors, session.inputs(values, ids, 0), trace=("hidden0", "output"))
            spikes = traces.spikes("hidden0", trial=slice(start, start + 50))
            assert len(spikes.times) == session.engine.spike_totals()["hidden0"]
            v = session.engine.traces("output")[0]
            np.testing.assert_array_equal(traces.v("output", trial=slice(start, start + 50)), v)
            session.step()
