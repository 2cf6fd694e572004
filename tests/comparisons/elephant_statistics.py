"""Statistics of spike trains by Elephant; run by an interpreter with it.

``python elephant_statistics.py CASE.npz RESULT.npz``: reads spike times (ms) and neurons, and writes what Elephant
makes of them. Imports nothing of snnsim.
"""

import sys

import elephant.conversion
import elephant.spike_train_correlation
import elephant.statistics
import neo
import numpy as np
import quantities as pq


def main(source, target):
    """Calculate for one population."""
    case = np.load(source)
    stop, window = float(case["stop"]), float(case["window"])
    trains = [
        neo.SpikeTrain(case["times"][case["neurons"] == n] * pq.ms, t_stop=stop * pq.ms) for n in range(int(case["n"]))
    ]
    isis = [elephant.statistics.isi(t) for t in trains]
    binned = elephant.conversion.BinnedSpikeTrain(trains, bin_size=window * pq.ms)
    counts = binned.to_array()
    rates = [float(elephant.statistics.mean_firing_rate(t).rescale("Hz").magnitude) for t in trains]
    cv = [float(elephant.statistics.cv(i)) for i in isis]
    lv = [float(elephant.statistics.lv(i)) for i in isis]
    # Elephant's Fano factor is over trials: windows cut out of the run stand for them.
    fano = [np.var(c) / np.mean(c) for c in counts]
    cut = [
        elephant.statistics.fanofactor([t.time_slice(k * window * pq.ms, (k + 1) * window * pq.ms)
                                        for k in range(int(stop / window))]) for t in trains[:3]
    ]  # fmt: skip
    correlation = elephant.spike_train_correlation.correlation_coefficient(binned)
    np.savez(target, rate=rates, cv=cv, lv=lv, fano=fano, fano_cut=np.array(cut, float), correlation=correlation)


if __name__ == "__main__":
    main(*sys.argv[1:])
