"""A network trained here, exported as NIR, loaded in snnTorch and Norse: do they classify as we do, and if not, why?

Run ``python tests/comparisons/nir_peers.py``; ``--peer-python`` names the interpreter that has snntorch and norse, if
another one does. Ends with exit code 1 if a tool that was given our steps differs by more than 1 % in accuracy.
"""

import argparse
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

READERS = ("snntorch", "norse")
ALLOWED = 1.0
"""Largest difference in accuracy, in percent, where the tool has our steps."""


def peer(reader, graph, inputs, output):
    """Run a NIR file in another tool; only this function runs in the tool's interpreter."""
    import warnings

    import nir
    import torch

    warnings.filterwarnings("ignore")
    with np.load(inputs) as file:
        spikes, step = torch.from_numpy(file["spikes"].astype(np.float32)), float(file["step"])
    counts = []
    with torch.no_grad():
        for batch in spikes.split(100):
            graph_read = nir.read(graph)
            if reader == "snntorch":
                from snntorch.import_nir import import_from_nir

                network, state = import_from_nir(graph_read), None
            else:
                import norse.torch

                network, state = norse.torch.from_nir(graph_read, dt=step), None
            total = 0
            for k in range(batch.shape[1]):
                if reader == "snntorch":
                    found = network(batch[:, k])
                    found = found[0] if isinstance(found, tuple) else found
                else:
                    found, state = network(batch[:, k], state)
                total = total + found
            counts.append(total)
    np.save(output, torch.cat(counts).numpy())


def trained(batches, seed):
    """Session of the default network, 784-400-10 with a leaky readout, after so many batches of 50."""
    from snnsim import config
    from snnsim.training import Session

    session = Session(config.load(None, [f"training.seed={seed}", "training.epochs=1"]))
    for k in range(batches):
        session.step()
        if (k + 1) % 100 == 0:
            print(f"trained on {50 * (k + 1)} images", file=sys.stderr)
    return session


class Comparison:
    """Our network on some test images, and other tools on the same input spikes."""

    def __init__(self, session, images, folder, peer_python):
        self.session, self.folder, self.peer_python = session, Path(folder), peer_python
        s, test = session.config.simulation, session.test
        self.dt, self.n_steps, self.labels = s.dt, s.n_steps, test.labels[:images]
        self.inputs = session.encoder.on_grid(test.values[:images], test.ids[:images], 2**32 - 1)
        dense = np.zeros((images, self.n_steps, self.inputs.n_neurons), np.uint8)
        for b in range(images):
            per_step = np.diff(self.inputs.row_ptr[b])
            steps = np.repeat(np.arange(self.n_steps), per_step)
            dense[b, steps, self.inputs.rows[b, : len(steps)]] = 1
        np.savez(self.folder / "inputs.npz", spikes=dense, step=self.dt / 1000)

    def ours(self, network, scheme):
        """Output spike counts (B, C) of a network of ours."""
        from snnsim.engines.grid import GridSpikes
        from snnsim.simulator import Simulator

        simulator = Simulator(network, dt=self.dt, n_steps=self.n_steps, scheme=scheme, record_layers=("output",))
        counts = []
        for start in range(0, len(self.labels), 100):
            part = slice(start, start + 100)
            simulator.forward(GridSpikes(self.inputs.rows[part], self.inputs.row_ptr[part], self.inputs.n_neurons))
            counts.append(simulator.recording()["output"].spikes.counts())
        return np.concatenate(counts)

    def theirs(self, reader, graph):
        """Output spike counts (B, C) of another tool."""
        import nir

        path, output = self.folder / "network.nir", self.folder / "counts.npy"
        nir.write(path, graph)
        arguments = ["--as-peer", reader, str(path), str(self.folder / "inputs.npz"), str(output)]
        done = subprocess.run([self.peer_python, __file__, *arguments], capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{reader} cannot run the file:\n{done.stderr}")
        return np.load(output)

    def row(self, reader, case, network, scheme, graph, reason):
        """Print one line; returns the difference of the accuracies in percent."""
        ours, theirs = self.ours(network, scheme), self.theirs(reader, graph)
        right = [100 * (counts.argmax(axis=1) == self.labels).mean() for counts in (ours, theirs)]
        changed = int((ours.argmax(axis=1) != theirs.argmax(axis=1)).sum())
        counts = int((ours != theirs).any(axis=1).sum())
        numbers = f"{right[0]:6.2f} {right[1]:6.2f} {changed:9d} {counts:6d} {ours.sum():9.0f} {theirs.sum():9.0f}"
        print(f"{reader:9s} {case:32s} {numbers}  {reason}", flush=True)
        return abs(right[0] - right[1])


def equations(network, dt):
    """Graph with our time constants, read by Norse in steps: its spikes are 1 during a step."""
    from snnsim.interchange.nir import to_nir

    graph, _ = to_nir(network)
    for name in ("hidden0", "output_neurons"):
        graph.nodes[name].w_in = graph.nodes[name].w_in / (dt / 1000)
    return graph


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1000, help="test images (1000)")
    parser.add_argument("--batches", type=int, default=300, help="batches of 50 to train on (300)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--peer-python", default=sys.executable, help="interpreter that has snntorch, norse and nir")
    parser.add_argument("--as-peer", nargs=4, metavar=("READER", "GRAPH", "INPUTS", "OUTPUT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.as_peer:
        peer(*options.as_peer)
        return 0
    from snnsim.interchange.nir import to_nir
    from snnsim.network import Network

    session = trained(options.batches, options.seed)
    dt = session.config.simulation.dt
    # Neither tool reads a leaky readout from NIR: the output neurons get a threshold, their spikes are counted.
    network = Network.chain(session.weights, session.parameters, "spiking")
    far = [replace(p, v_reset=0.5 * p.v_threshold) for p in network.parameters]
    resets = Network.chain(network.weights, far, network.readout)
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        compare = Comparison(session, options.images, folder, options.peer_python)
        print(f"{'':42s} accuracy %  images with other   output spikes")
        print(f"{'':44s}ours theirs  decision counts      ours    theirs  reason of the difference")
        for reader in READERS:
            for scheme in ("backward_euler", "exact"):
                graph, notes = to_nir(network, dialect=reader, dt=dt, scheme=scheme)
                reason = f"scheme: {notes[0]}" if notes else "none: the same steps"
                worst = max(worst, compare.row(reader, f"our steps, {scheme}", network, scheme, graph, reason))
            graph, notes = to_nir(resets, dialect=reader, dt=dt, scheme="backward_euler")
            compare.row(reader, "our steps, v_reset above rest", resets, "backward_euler", graph, f"reset: {notes[0]}")
        reason = "scheme: Norse decays by 1 - dt/tau, backward Euler by 1/(1 + dt/tau)"
        compare.row("norse", "our time constants", network, "backward_euler", equations(network, dt), reason)
    print(f"largest difference with our steps and reset: {worst:.2f} % (allowed: {ALLOWED:g} %)")
    return int(worst > ALLOWED)


if __name__ == "__main__":
    sys.exit(main())
