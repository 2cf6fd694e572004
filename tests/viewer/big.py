"""A recording of ten million spikes, and how fast and in how much memory the viewer zooms through it.

    python -m tests.viewer.big FOLDER

makes it in FOLDER (once) and measures. Times are of what the server does for one zoom: all rasters of the page.
"""

import resource
import sys
import time
from pathlib import Path

import numpy as np

from snnsim.recording.writer import TraceWriter
from tests.recordings import network, recording

SIZES = (1500, 500, 10)
TRIALS, STEPS, RATE, BATCH = 500, 100, 0.1, 25


def make(folder):
    """Write it: 500 trials of 100 steps, 2010 neurons, each with a spike in a tenth of the steps."""
    with TraceWriter(folder, network(SIZES), duration=STEPS * 0.01, dt=0.01, scheme="exact") as writer:
        for k in range(TRIALS // BATCH):
            labels = np.arange(BATCH) % 10
            writer.append(recording(BATCH, STEPS, SIZES, rate=RATE, seed=k, v=False), label=labels, prediction=labels)


def measure(folder):
    """Read it and zoom in at the middle, each zoom from all of the recording to a hundredth of a trial."""
    from bokeh.document import Document

    from snnsim.viewer.page import Page
    from snnsim.viewer.source import Source

    source = Source(folder)
    begin = time.perf_counter()
    while source.advance():
        pass
    print(f"{source.note()}; read in {time.perf_counter() - begin:.2f} s")
    page = Page(Document(), [source])
    page._set_whole(True)
    whole, middle = page._end(), page._end() / 2
    worst = 0.0
    for part in (1.0, 1.0, 0.5, 0.1, 0.01, 0.001, 0.0001):
        page._x.update(start=middle - part * whole / 2, end=middle + part * whole / 2)
        begin = time.perf_counter()
        page._draw()
        seconds = time.perf_counter() - begin
        worst = max(worst, seconds)
        shown = [raster.figure.title.text for raster in page._rasters[0]]
        print(f"{1000 * seconds:7.1f} ms for {part * whole:9.3f} ms of it: {shown[0]}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"slowest zoom {1000 * worst:.0f} ms, peak memory {peak:.0f} MiB")
    return worst, peak


if __name__ == "__main__":
    place = Path(sys.argv[1])
    if not (place / "spikes.h5").exists():
        make(place)
    measure(place)
