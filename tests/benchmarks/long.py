"""Time and peak memory of training on long trials with the same number of spikes: ``python -m tests.benchmarks.long``.

784-400-10, batch 50, about 50 spikes an input and hidden neuron whatever the number of steps; each size trains a few
batches in a process of its own. Beside it, what storing every step takes, as backpropagation through time in a
framework of dense tensors does: spikes of the input; current, membrane and spikes of each hidden neuron; current and
membrane of each output, float32 (computed, not run).
"""

import argparse
import resource
import subprocess
import sys

LAYERS = (784, 400, 10)
SPIKES = 50


def megabytes():
    """Peak resident memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def one_size(steps, batch, batches):
    """Print seconds a batch, peak memory above that of a loaded process, and spikes per input and hidden neuron."""
    import time

    from snnsim.threads import use_threads

    use_threads(0)
    from snnsim import config
    from snnsim.training import Session

    def session(steps, size):
        # The mean intensity of MNIST is 0.13.
        settings = [f"simulation.n_steps={steps}", f"encoder.max_probability={SPIKES / (0.13 * steps)}"]
        settings += [f"training.batch_size={size}", f"network.target_rate={SPIKES}"]
        return Session(config.load(None, settings))

    session(400, 2).step()  # kernels and data are in memory from here
    before = megabytes()
    training = session(steps, batch)
    training.step()
    seconds = []
    for _ in range(batches):
        start = time.perf_counter()
        training.step()
        seconds.append(time.perf_counter() - start)
    given = training.engine.grids()[0].total / (batch * LAYERS[0])
    hidden = training.engine.spike_totals()[0] / (batch * LAYERS[1])
    print(min(seconds), megabytes() - before, given, hidden)


def every_step(steps, batch):
    """Megabytes of the tensors that dense backpropagation through time keeps."""
    n_in, n_hidden, n_out = LAYERS
    return 4 * batch * steps * (n_in + 3 * n_hidden + 2 * n_out) / 2**20


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, nargs="+", default=[1000, 2000, 5000, 10000])
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--batches", type=int, default=3)
    options = parser.parse_args()
    print("  steps  s/batch  us/step   peak MB above data   every step stored, MB   spikes an input, a hidden neuron")
    for steps in options.steps:
        code = f"from tests.benchmarks.long import one_size; one_size({steps}, {options.batch}, {options.batches})"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        seconds, grown, given, hidden = map(float, done.stdout.split())
        dense = every_step(steps, options.batch)
        print(
            f"{steps:7}{seconds:9.2f}{1e6 * seconds / steps:9.1f}{grown:21.0f}{dense:24.0f}{given:18.1f}{hidden:17.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
