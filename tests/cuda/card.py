"""A whole training batch on the card beside the CPU, and the same batches twice."""

from dataclasses import dataclass

import numpy as np

from snnsim import config
from snnsim.kernels.cuda import compiler
from snnsim.training.session import Session
from snnsim.training.session_cuda import CudaSession

MARGIN = {"float32": 1e-4, "float64": 1e-12}
"""Distance from threshold below which a membrane may fall on either side."""


@dataclass
class Report:
    """Prints what was compared, and keeps what failed."""

    failures: list

    def check(self, name, good, found):
        """Note a comparison."""
        print(f"{'ok    ' if good else 'FAILED'} {name}: {found}", flush=True)
        if not good:
            self.failures.append(name)


def settings_of(layers=(784, 400, 10), n_steps=50, batch_size=50, dataset="mnist", others=()):
    """Configuration of a training; extra settings win."""
    given = [
        f"data.dataset='{dataset}'", f"network.layers={list(layers)}", f"simulation.n_steps={n_steps}",
        f"training.batch_size={batch_size}",
    ]  # fmt: skip
    return config.load(None, [*given, *others])


def compare_batch(report, name, chosen):
    """One batch: spikes, loss, gradients and updated weights of CPU and card."""
    cpu_session, session = Session(chosen), CudaSession(chosen)
    values, labels, ids = cpu_session.next_batch()
    output = cpu_session.engine.forward(
        cpu_session.tensors, cpu_session.inputs(values, ids, 0), trace=cpu_session.structure.populations[1:]
    )
    engine, neurons = cpu_session.engine, cpu_session.structure.populations_by_name
    margin = min(np.abs(engine.traces(name)[0] - neurons[name].neuron.threshold).min() for name in cpu_session.spiking)
    slabs, allowed = list(cpu_session.engine.spikes().values()), MARGIN[config.precision(chosen)]
    result = cpu_session.loss(output, labels)
    gradients = [g.copy() for g in cpu_session.engine.backward(cpu_session.tensors, result.gradient).values()]
    loss, _ = session.step()
    compiler.synchronize()
    device = session._device
    layers = [device.inputs(len(labels), 0), *(layer.spikes for layer in device._batch(len(labels)))]
    for index, (slab, spikes) in enumerate(zip(slabs, layers, strict=False)):
        rows, pointers = compiler.to_host(spikes.rows), compiler.to_host(spikes.row_ptr)
        same = np.array_equal(pointers[:, -1], slab.counts) and all(
            np.array_equal(rows[b, : slab.counts[b]], slab.neurons[b, : slab.counts[b]]) for b in range(len(labels))
        )
        found = f"{int(slab.counts.sum())} spikes, {'equal' if same else 'different'}; margin {margin:.1e}"
        report.check(f"{name}: spikes of population {index}", same or (index > 0 and margin < allowed), found)
    error = abs(loss - result.loss.mean()) / abs(result.loss.mean())
    report.check(f"{name}: loss", error <= 1e-5, f"relative difference {error:.1e}")
    for index, (mine, theirs) in enumerate(zip(device.gradients, gradients, strict=True)):
        error = np.abs(compiler.to_host(mine) * device.area - theirs).max() / max(np.abs(theirs).max(), 1e-30)
        report.check(f"{name}: gradient of weights[{index}]", error <= 1e-4, f"relative difference {error:.1e}")


def compare_event_batch(report, name, chosen):
    """One batch of the event or the hybrid engine in float64: spikes, loss and gradients of CPU and card."""
    cpu_session, session = Session(chosen), CudaSession(chosen)
    values, labels, ids = cpu_session.next_batch()
    output = cpu_session.engine.forward(cpu_session.tensors, cpu_session.inputs(values, ids, 0))
    slabs = list(cpu_session.engine.spikes().values())[1:]
    result = cpu_session.loss(output, labels)
    gradients = [g.copy() for g in cpu_session.engine.backward(cpu_session.tensors, result.gradient).values()]
    loss, _ = session.step()
    compiler.synchronize()
    for index, (slab, found) in enumerate(zip(slabs, session._device.to_host(), strict=True)):
        same, late = np.array_equal(slab.counts, found.counts), 0.0
        for b, count in enumerate(slab.counts if same else ()):
            same &= np.array_equal(found.neurons[b, :count], slab.neurons[b, :count])
            late = max(late, np.abs(found.times[b, :count] - slab.times[b, :count]).max(initial=0))
        told = f"{int(slab.counts.sum())} spikes, {'equal' if same else 'different'}; times differ by {late:.1e}"
        report.check(f"{name}: spikes of layer {index}", same and late <= 1e-9, told)
    error = abs(loss - result.loss.mean()) / abs(result.loss.mean())
    report.check(f"{name}: loss", error <= 1e-9, f"relative difference {error:.1e}")
    for index, (mine, theirs) in enumerate(zip(session._device.gradients, gradients, strict=True)):
        error = np.abs(compiler.to_host(mine) - theirs).max() / max(np.abs(theirs).max(), 1e-30)
        report.check(f"{name}: gradient of weights[{index}]", error <= 1e-6, f"relative difference {error:.1e}")


def compare_runs(report, name, chosen, batches):
    """The same batches twice: every bit of the weights and of the optimiser's state."""
    states = []
    for _ in range(2):
        session = CudaSession(chosen)
        for _ in range(batches):
            session.step()
        states.append(session.state())
    same = all(
        np.array_equal(a, b)
        for key in ("first", "second")
        for a, b in zip(*(state["optimizer"][key].values() for state in states), strict=True)
    ) and all(np.array_equal(a, b) for a, b in zip(*(state["tensors"].values() for state in states), strict=True))
    report.check(f"{name}: two runs of {batches} batches", same, "equal bits" if same else "different bits")


def compare_accuracy(report, epochs):
    """Test accuracy after whole epochs on CPU and card; minutes on the CPU."""
    from snnsim.training import evaluate

    accuracies = []
    for kind in (Session, CudaSession):
        session = kind(settings_of(others=(f"training.epochs={epochs}",)))
        for _ in range(epochs):
            for _ in range(session.batches):
                session.step()
            session.end_epoch()
        accuracies.append(evaluate(session, session.test).accuracy)
    cpu_accuracy, card_accuracy = accuracies
    report.check(
        f"test accuracy after {epochs} epochs", abs(card_accuracy - cpu_accuracy) <= 0.002,
        f"CPU {100 * cpu_accuracy:.2f} %, card {100 * card_accuracy:.2f} %",
    )  # fmt: skip
