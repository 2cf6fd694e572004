"""Times on the card: seconds per epoch, each kernel against the bytes it must move, and dense products as a limit."""

import time
from itertools import pairwise

import numpy as np

from snnsim.errors import InputError
from snnsim.kernels.cuda import compiler
from snnsim.kernels.cuda.trouble import DeviceLost
from snnsim.training.session_cuda import CudaSession
from tests.cuda.build import MODULES
from tests.cuda.card import settings_of

SHAPES = ((784, 400, 10), (784, 1000, 1000, 10))
SYNAPSES = "auto", "gather", "dense"
SAMPLES = 60_000


class OneAfterAnother(CudaSession):
    """A training that prepares the input of a batch when it comes to it, and not beside the batch before."""

    def _encode(self, batch):
        if batch == self.batch:
            super()._encode(batch)


def epoch_seconds(layers, n_steps, batch_size, seconds=0.7, **others):
    """Seconds per epoch of 60,000 samples: the median batch of some ``seconds``, after three that warm up."""
    session = CudaSession(settings_of(layers, n_steps, batch_size, **others))
    batch_seconds(session, 0.0, 3)
    return float(np.median(batch_seconds(session, seconds, 7))) * SAMPLES / batch_size, session


def batch_seconds(session, seconds, least):
    """Seconds of each of the next batches, for so many seconds in all, and of ``least`` at least."""
    times = []
    while len(times) < least or sum(times) < seconds:
        if session.batch == session.batches:
            session.end_epoch()
        start = time.perf_counter()
        session.step()
        times.append(time.perf_counter() - start)
    return times


def print_epochs(cases=None):
    """Print seconds per epoch beside the products of a dense simulation and beside other libraries."""
    if cases is None:
        cases = [(s, t, b) for s in SHAPES for t in (50, 500) for b in (50, 500)]
    columns = "".join(f"{name:>10}" for name in (*SYNAPSES, "products"))
    print(f"\nseconds per epoch\n{'network':18}{'steps':>6}{'batch':>6}{columns}  other libraries")
    for layers, n_steps, batch in cases:
        found = [_epoch_or_reason(layers, n_steps, batch, synapse) for synapse in SYNAPSES]
        dense = dense_seconds(layers, n_steps, batch)
        found.append("not here" if dense is None else f"{dense:.2f}")
        others = "; ".join(f"{who} {seconds:.2f}" for who, seconds in other_libraries(layers, n_steps, batch))
        line = "".join(f"{value:>10}" for value in found)
        print(f"{'-'.join(map(str, layers)):18}{n_steps:6}{batch:6}{line}  {others or 'none installed'}", flush=True)


def _epoch_or_reason(layers, n_steps, batch, synapse):
    try:
        return f"{epoch_seconds(layers, n_steps, batch, others=(f'simulation.synapse={synapse!r}',))[0]:.2f}"
    except DeviceLost:
        raise
    except InputError as error:
        return "no room" if "memory" in str(error) else str(error)


def print_event_epochs(cases):
    """Print seconds per epoch of the event and the hybrid engine; ``cases`` are settings by name."""
    for name, settings in cases.items():
        print(f"{name}: {epoch_seconds(SHAPES[0], 50, 50, others=settings)[0]:.2f} s/epoch", flush=True)


def print_overlap(cases, rounds=8):
    """Print seconds per epoch with the next input prepared beside a batch, and one after the other, in turns."""
    print(f"\n{'seconds per epoch, input prepared':42}{'beside a batch':>16}{'after it':>10}")
    for name, batch, settings in cases:
        chosen = settings_of(SHAPES[0], 50, batch, others=settings)
        sessions = [kind(chosen) for kind in (CudaSession, OneAfterAnother)]
        times = [[], []]
        for turn in range(rounds + 1):
            for session, found in zip(sessions, times, strict=True):
                taken = batch_seconds(session, 0.15, 5)
                found += taken if turn else []  # the first turn warms up
        beside, after = (float(np.median(found)) * SAMPLES / batch for found in times)
        print(f"{name:42}{beside:16.3f}{after:10.3f}", flush=True)


def dense_seconds(layers, n_steps, batch):
    """Seconds per epoch of the three dense products a layer (input, gradient, error) alone, in float32; or None."""
    try:
        import cupy as xp

        wait, random = xp.cuda.Device().synchronize, lambda *shape: xp.random.random(shape, dtype=xp.float32)
    except ImportError:
        try:
            import torch
        except ImportError:
            return None
        if not torch.cuda.is_available():
            return None
        wait, random = torch.cuda.synchronize, lambda *shape: torch.rand(shape, device="cuda")
    rows = batch * n_steps
    arrays = [(random(rows, a), random(a, b), random(rows, b)) for a, b in pairwise(layers)]

    def work():
        for x, w, y in arrays:
            x @ w, x.T @ y, y @ w.T

    return _median(work, wait) * SAMPLES / batch


def _median(work, wait, seconds=0.7):
    times = []
    while len(times) < 6 or (len(times) < 50 and sum(times) < seconds):
        wait()
        start = time.perf_counter()
        work()
        wait()
        times.append(time.perf_counter() - start)
    return float(np.median(times[2:]))


def other_libraries(layers, n_steps, batch, device="cuda"):
    """``(name, seconds per epoch)`` of forward, backward and Adam in the libraries that are installed."""
    try:
        import torch
    except ImportError:
        return
    if device == "cuda" and not torch.cuda.is_available():
        return
    for name, build in (("SpikingJelly", _spikingjelly), ("snnTorch", _snntorch)):
        try:
            forward, parameters = build(torch, layers, device)
        except ImportError:
            continue
        optimizer = torch.optim.Adam(parameters)
        intensities = torch.rand(batch, layers[0], device=device) * 0.26
        labels = torch.randint(layers[-1], (batch,), device=device)

        def work(forward=forward, optimizer=optimizer, intensities=intensities, labels=labels):
            spikes = (torch.rand(n_steps, *intensities.shape, device=device) < intensities).float()
            loss = torch.nn.functional.cross_entropy(forward(spikes).sum(dim=0), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

        yield name, _median(work, torch.cuda.synchronize if device == "cuda" else int) * SAMPLES / batch


def _spikingjelly(torch, layers, device):
    from spikingjelly.activation_based import functional, layer, neuron

    parts = []
    for a, b in pairwise(layers):
        parts += [layer.Linear(a, b, bias=False), neuron.LIFNode(detach_reset=True)]
    net = torch.nn.Sequential(*parts).to(device)
    functional.set_step_mode(net, "m")

    def forward(spikes):
        functional.reset_net(net)
        return net(spikes)

    return forward, net.parameters()


def _snntorch(torch, layers, device):
    import snntorch

    linear = torch.nn.ModuleList(torch.nn.Linear(a, b, bias=False) for a, b in pairwise(layers)).to(device)
    neurons = torch.nn.ModuleList(snntorch.Synaptic(alpha=0.85, beta=0.9) for _ in linear).to(device)

    def forward(spikes):
        states = [n.init_synaptic() for n in neurons]
        out = []
        for x in spikes:
            for index, (product, neuron) in enumerate(zip(linear, neurons, strict=True)):
                x, *states[index] = neuron(product(x), *states[index])
            out.append(x)
        return torch.stack(out)

    return forward, linear.parameters()


def print_kernels(layers=(784, 400, 10), n_steps=50, batch=50, **others):
    """Print the time of every kernel of a batch beside its floor.

    The floor is the time in which the card moves the bytes that the kernel must move, or does the arithmetic operations
    that it must do, one a lane and cycle, whichever takes longer. What a gather of rows reads again and again from the
    cache is not in it, nor what a masked addition looks at and leaves out.
    """
    _, session = epoch_seconds(layers, n_steps, batch, 0.0, **others)
    if session.batch == session.batches:
        session.end_epoch()
    launches = []

    def noted(kernel, grid, block, *arguments, shared=0):
        launches.append((kernel, grid, block, arguments, shared))
        compiler.launch(kernel, grid, block, *arguments, shared=shared)

    kept = [(m, m.launch) for m in MODULES]
    try:
        for module, _ in kept:
            module.launch = noted
        session.step()
    finally:
        for module, launch in kept:
            module.launch = launch
    bandwidth, rate = copy_bandwidth(), operation_rate()
    floors = must_do(session, batch)
    print(
        f"\n{'-'.join(map(str, layers))}, {n_steps} steps, batch {batch}; copies run at {bandwidth / 1e9:.0f} GB/s, "
        f"lanes do {rate / 1e12:.0f} T operations/s"
    )
    print(f"{'kernel':22}{'columns':>8}{'us':>9}{'MB':>9}{'Mops':>9}{'floor us':>10}{'floor/us':>10}")
    total = floor_total = 0.0
    for kernel, grid, block, arguments, shared in launches:
        name, columns = kernel.py_func.__name__, _shape(arguments)
        us = kernel_seconds(kernel, grid, block, arguments, shared) * 1e6
        plain = name.replace("_narrow", "")
        size, operations = floors.get((plain, columns)) or floors[plain, None]
        floor = max(size / bandwidth, operations / rate) * 1e6
        total, floor_total = total + us, floor_total + floor
        print(f"{name:22}{columns:8}{us:9.1f}{size / 1e6:9.2f}{operations / 1e6:9.1f}{floor:10.2f}{floor / us:10.2f}")
    print(f"{'together':30}{total:9.1f}{'':18}{floor_total:10.2f}")


def kernel_seconds(kernel, grid, block, arguments, shared, repeats=20):
    """Seconds of a kernel, from several in a row that all wait on the card when the first begins."""
    stream = compiler.stream()
    with compiler.on_stream(stream), compiler.driver_errors():
        start, stop = compiler.event(), compiler.event()
        compiler.launch(kernel, grid, block, *arguments, shared=shared)
        compiler.launch(_hold, 1, 1, 3000)
        start.record(stream)
        for _ in range(repeats):
            compiler.launch(kernel, grid, block, *arguments, shared=shared)
        stop.record(stream)
        stop.synchronize()
        return start.elapsed_time(stop) / 1e3 / repeats


@compiler.kernel
def _hold(microseconds):
    for _ in range(microseconds):
        compiler.cuda.nanosleep(1000)


def _shape(arguments):
    # Neurons of the layer a kernel works for: the last axis of its largest array of floats.
    floats = [a for a in arguments if getattr(a, "ndim", 0) >= 2 and np.dtype(a.dtype).kind == "f" and a.size]
    if not floats:
        return 0
    widest = max(floats, key=lambda a: a.ndim)
    return widest.shape[widest.ndim - 1]


def must_do(session, batch):
    """Bytes that each kernel of a batch must read and write at least once, and its operations, by (kernel, neurons).

    A neuron's step is eight operations in either direction. Those of encoding, loss and update are left out.
    """
    device, size = session._device, np.dtype(session.dtype).itemsize
    layers, n_steps, words = device.layers, device.n_steps, -(-device.n_steps // 32)
    pools = [device.inputs(batch, 0), *(layer.spikes for layer in device._batch(batch))]
    entries = [int(compiler.to_host(p.row_ptr)[:, -1].sum()) for p in pools]
    result = {("_poisson", None): (batch * layers[0] * (1 + 4 * words) + 4 * entries[0], 0)}
    for index, (a, b) in enumerate(pairwise(layers)):
        field, weights = size * batch * n_steps * b, size * a * b
        listed, steps = entries[index + 1] * (4 + 2 * size), 8 * batch * n_steps * b
        listed_input, words_of_input = 4 * entries[index], 4 * batch * words * a
        result["_synaptic_input", b] = weights + listed_input + field, entries[index] * b
        result["_masked_input", b] = weights + words_of_input + field, entries[index] * b
        result["_lif_forward", b] = field + listed + 4 * batch * words * b, steps
        result["_lif_backward", b] = field * (2 if index else 1) + listed + size * entries[index + 1], steps
        result["_word_gradient", b] = field + weights + words_of_input, entries[index] * b
        result["_masked_gradient", b] = result["_word_gradient", b]
        if index:
            passed = size * batch * n_steps * a
            result["_product", b] = weights + field + passed, batch * n_steps * a * b
            result["_transposed", b] = 2 * weights, 0
            result["_at_spikes", a] = (4 + 2 * size) * entries[index], 0
            result["_spike_error", b] = weights + field + (4 + size) * entries[index], 2 * entries[index] * b
    result["_membrane_loss", layers[-1]] = 2 * size * batch * n_steps * layers[-1], 0
    result["_clipped_adam", 0] = 7 * size * device.flat_weights.size, 0
    return result


def operation_rate():
    """Operations a second of all lanes together: 128 a multiprocessor and cycle."""
    gpu = compiler.cuda.get_current_device()
    return gpu.MULTIPROCESSOR_COUNT * 128 * gpu.CLOCK_RATE * 1e3


def copy_bandwidth(size=2**30):
    """Bytes a second of a copy on the device, read and written."""
    a, b = (compiler.empty(size // 4, np.float32) for _ in range(2))
    b.copy_to_device(a)
    seconds = _median(lambda: b.copy_to_device(a), compiler.synchronize)
    return 2 * size / seconds
