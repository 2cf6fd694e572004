"""exact-event-adjoint: its multi-spike layers on the work that ``tests.benchmarks.events`` writes to a file.

PyTorch; spike times are roots of the membrane in closed form, the gradient is theirs with the jumps at resets, as in
BATS. A layer takes one spike an input, so a hidden neuron's k-th spike is an input of its own with the neuron's
weights. --spikes bounds the spikes of a neuron (default: as many as the reference spikes need). The membrane is
only tested at inputs, their peaks and resets: a crossing between two tests is missed. The loss is the sum of the
output spike times.
"""
import _common as C
import _events as E
import torch
from exact_event_adjoint.extended import ExactSaltationMultiSpikeFunction

p = E.parser(__doc__)
p.add_argument("--spikes", type=int, nargs=2, help="most spikes of a hidden and of an output neuron")
a = p.parse_args()
torch.set_num_threads(a.threads)
dtype = getattr(torch, a.precision)
work = E.Work(a.work)


def most(name):
    """Spikes of the neuron that fires most in a trial."""
    return max(int(C.np.bincount(n[n >= 0], minlength=1).max()) for n in work.spikes(name)[1])


room = a.spikes or [max(1, most("hidden")), max(1, most("output"))]
# Its kernel has the factor tau_mem tau_syn / (tau_mem - tau_syn), the others' tau_syn / (tau_mem - tau_syn).
weights = [torch.tensor(w.T / work.tau_mem, dtype=dtype, requires_grad=True) for w in work.weights]
times, neurons = work.spikes("input")
inputs = C.np.full((work.batch, len(work.weights[0])), work.duration)
row, column = C.np.nonzero(neurons >= 0)
inputs[row, neurons[row, column]] = times[row, column]
inputs = torch.as_tensor(inputs, dtype=dtype)


def layer(k, t, w):                                          # what its module ExactAdjointMultiSpike calls
    return ExactSaltationMultiSpikeFunction.apply(
        t, w, room[k], work.tau_mem, work.tau_syn, work.thresholds[k], 0.0, work.duration)


def network():
    hidden = layer(0, inputs, weights[0])                    # B, hidden, spikes
    return hidden, layer(1, hidden.flatten(1), weights[1].repeat_interleave(room[0], 1))


def forward():
    with torch.no_grad():
        return network()


def both():
    for w in weights:
        w.grad = None
    out = network()[1]
    torch.where(out < work.duration, out, 0).sum().backward()
    return [w.grad.numpy().T / work.tau_mem for w in weights]


def spikes_of(result):
    layers = {}
    for name, t in zip(("hidden", "output"), result):
        layers[name] = [(x[x < work.duration], C.np.nonzero(x < work.duration)[0]) for x in t.numpy()]
    return layers


E.report(a, work, "exact-event-adjoint", forward, both, spikes_of, most_spikes=room)
