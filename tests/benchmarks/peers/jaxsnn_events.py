"""jaxsnn's event mode: forward and backward pass of the work that ``tests.benchmarks.events`` writes to a file.

Same images, weights, time constants and thresholds: jaxsnn's LIF with tau_mem = 2 tau_syn is the same neuron, its next
spike the root of the same quadratic. It visits a number of events a layer (input and own spikes) that is fixed
beforehand: the largest that the reference spikes in the file need, so that none is cut. The loss is the sum of the
output spike times.

--gradient analytical   JAX differentiates through every event
--gradient eventprop    jaxsnn's adjoint pass
--threads 1 pins the process to one CPU (XLA has no thread flag that covers everything)
"""
import os
import _common as C
if C.THREADS < len(os.sched_getaffinity(0)):
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-C.THREADS:])
import _events as E  # noqa: E402
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
from jaxsnn.event.modules import LIF, LIFParameters, Linear, Source  # noqa: E402
from jaxsnn.event.topology import Topology  # noqa: E402
from jaxsnn.event.types import Spike  # noqa: E402

p = E.parser(__doc__)
p.add_argument("--gradient", default="analytical", choices=["analytical", "eventprop"])
a = p.parse_args()
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_enable_x64", a.precision == "float64")

work = E.Work(a.work)
events = work.counts("input") + work.counts("hidden"), work.counts("hidden") + work.counts("output")
n_steps = [int(e.max()) for e in events]
net = Topology(t_max=work.duration, backprop_method=a.gradient)
lif = [LIFParameters(tau_syn=work.tau_syn, tau_mem=work.tau_mem, v_th=th) for th in work.thresholds]
net.add({"inp": Source(work.weights[0].shape[0]), "syn1": Linear(), "syn2": Linear(),
         "hid": LIF(work.weights[0].shape[1], n_steps[0], lif[0]),
         "out": LIF(work.weights[1].shape[1], n_steps[1], lif[1])})
net.connect([("inp", "syn1"), ("syn1", "hid"), ("hid", "syn2"), ("syn2", "out")])
init, apply = net.done()
params = init(jax.random.key(0))
params.update(syn1=jnp.asarray(work.weights[0], a.precision), syn2=jnp.asarray(work.weights[1], a.precision))
times, neurons = work.spikes("input")
inputs = {"inp": Spike(time=jnp.asarray(times, a.precision), idx=jnp.asarray(neurons),
                       current=jnp.zeros(times.shape, a.precision), layer_idx=jnp.zeros(times.shape, int),
                       internal=jnp.asarray(neurons >= 0))}


def loss(params, inputs):
    spikes = apply(inputs, params)
    out = spikes["out"]
    return jnp.where(out.internal, out.time, 0).sum(), spikes


forward = jax.jit(lambda params, inputs: loss(params, inputs)[1])
gradient = jax.jit(jax.grad(lambda params, inputs: loss(params, inputs)[0]))


def both():
    grad = jax.block_until_ready(gradient(params, inputs))
    return grad["syn1"], grad["syn2"]


def spikes_of(result):
    layers = {}
    for name, node in (("hidden", "hid"), ("output", "out")):
        own, t, n = (C.np.asarray(x) for x in (result[node].internal, result[node].time, result[node].idx))
        layers[name] = [(t[b, own[b]], n[b, own[b]]) for b in range(work.batch)]
    return layers


E.report(a, work, f"jaxsnn, {a.gradient}", lambda: jax.block_until_ready(forward(params, inputs)), both, spikes_of,
         events=n_steps)
