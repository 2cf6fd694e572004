"""snnsim on the peers' work unit: the same network, encoding, loss and optimiser, timed by the same harness.

--gradient surrogate   fast-sigmoid surrogate with the peers' slope, as the peers train
--gradient exact       spike-time gradients
"""

from importlib import metadata

import _common as C

a = C.parse(gradient=dict(default="exact", choices=["exact", "surrogate"]), synapse=dict(default="auto"))

import numba  # noqa: E402

import snnsim  # noqa: E402, F401 - settles the kernel cache
from snnsim.encoders import Encoder  # noqa: E402
from snnsim.engines.clock import ClockEngine  # noqa: E402
from snnsim.initialisation import initial_tensors  # noqa: E402
from snnsim.kernels.cpu import squared_norm  # noqa: E402
from snnsim.losses import Loss  # noqa: E402
from snnsim.memory import release_compiler_pages  # noqa: E402
from snnsim.network import Network  # noqa: E402
from snnsim.optimizers import Optimizer  # noqa: E402
from snnsim.parameters import LIFParameters  # noqa: E402

numba.set_num_threads(a.threads)
# The peers' current jumps by w, not w/tau_syn: the same membrane with r = tau_syn.
neuron = LIFParameters(C.TAU_MEM, C.TAU_SYN, C.TAU_SYN, reset="subtract")
network = Network.of_layers((C.N_IN, C.N_HID, C.N_OUT), neuron)
engine = ClockEngine(
    network, dt=a.dt, n_steps=C.T, gradient=a.gradient, surrogate_slope=a.slope, synapse=a.synapse,
    max_inverse_slope=10.0,
)  # fmt: skip
encoder = Encoder("poisson", dt=a.dt, n_steps=C.T, seed=a.seed)
loss = Loss(
    "count-cross-entropy", n_classes=C.N_OUT, duration=C.T * a.dt, dt=a.dt, n_steps=C.T,
    amplitude=engine.takes_amplitude,
)  # fmt: skip
# A silent output has no spike time to learn from: exact gradients start from larger weights than the peers' uniform ones.
init = "uniform" if a.gradient == "surrogate" else "kaiming"
weights = initial_tensors(network, init, seed=a.seed)
optimizer = Optimizer("adam", weights)
ids = C.np.arange(C.B)
epoch, first = 0, True


def encode(x):
    global epoch
    epoch += 1
    return encoder.on_grid(x, ids, epoch, 4 if engine.takes_patterns else 1)


def step(x, y):
    global first
    if first:
        squared_norm(C.np.zeros(1, C.np.float32))
        release_compiler_pages()
    result = loss(engine.forward(weights, encode(x)), y)
    if first:
        release_compiler_pages()
    optimizer.step(engine.backward(weights, result.gradient), a.lr)
    if first:
        first = False
        release_compiler_pages()
    return result.loss.mean()


def predict(x):
    output = engine.forward(weights, encode(x))
    counts = C.np.zeros((len(x), C.N_OUT))
    for b, n in enumerate(output.counts):
        counts[b] = C.np.bincount(output.neurons[b, :n], minlength=C.N_OUT)
    return counts


release_compiler_pages()  # as `snnsim train` does, before the data come and while kernels are loaded
C.run(a, f"snnsim-{a.gradient}", metadata.version("snnsim"), step, encode, predict)
