"""Recurrent training on spoken digits in each peer: one work unit, timed the same way, one JSON line a run.

    VENVS/jax/bin/python spoken.py --peer jax --data ../data/spoken-digits --epochs 3 --threads 1
    VENVS/torch/bin/python spoken.py --peer torch|torch-compile|snntorch|norse|spikingjelly ...
    python spoken.py --peer snnsim-exact|snnsim-surrogate ...

Work unit: 128-256-10, the hidden layer recurrent (all to all, one step of delay), no bias, float32; current-based LIF with
exponential synaptic filter, tau_mem 20 ms, tau_syn 10 ms; steps of 5 ms, 120 of them (600 ms; later spikes are dropped);
spikes of a channel in a step are summed; leaky readout with the same constants, cross entropy on its mean over
time; surrogate 1/(1+10|v-1|)^2, reset by subtraction; batch 50, Adam 1e-3. Binning is done once, before the clock runs.
Norse and SpikingJelly have their own surrogates and resets; the rest of the work is equal.
"""
import argparse, json, math, os, sys, time
n = sys.argv[sys.argv.index("--threads") + 1] if "--threads" in sys.argv else str(os.cpu_count())
for k in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"): os.environ[k] = n
if int(n) < os.cpu_count(): os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-int(n):])
import h5py, numpy as np
p = argparse.ArgumentParser()
p.add_argument("--peer", required=True); p.add_argument("--data", required=True)
p.add_argument("--epochs", type=int, default=3); p.add_argument("--threads", type=int, default=int(n))
p.add_argument("--hidden", type=int, default=256); p.add_argument("--steps", type=int, default=120)
p.add_argument("--dt", type=float, default=0.005); p.add_argument("--leave-out", type=int, default=-1)
p.add_argument("--seed", type=int, default=0); p.add_argument("--lr", type=float, default=1e-3)
a = p.parse_args()
T, H, C, K, B = a.steps, a.hidden, 128, 10, 50
AL, BE = math.exp(-a.dt / 0.010), math.exp(-a.dt / 0.020)

def load(split):
    with h5py.File(f"{a.data}/spoken-digits-{split}.h5") as h:
        y, s = h["labels"][:].astype(np.int64), h["extra/speaker"][:].astype(int)
        x = np.zeros((len(y), T, C), np.uint8)
        for b, (t, u) in enumerate(zip(h["spikes/times"][:], h["spikes/units"][:])):
            k = np.floor(t.astype(float) / a.dt).astype(int); m = k < T
            np.add.at(x[b], (k[m], u[m].astype(int)), 1)
    return x, y, s
x, y, s = load("train"); xt, yt, st = load("test")
if a.leave_out >= 0:
    x, y, s = np.concatenate([x, xt]), np.concatenate([y, yt]), np.concatenate([s, st])
    keep = s != a.leave_out; xt, yt, x, y = x[~keep], y[~keep], x[keep], y[keep]
rng = np.random.default_rng(a.seed)
u = lambda i, o: (rng.uniform(-1, 1, (i, o)) * math.sqrt(3 / i)).astype(np.float32)
W = [u(C, H) * 2, u(H, H) * 0.5, u(H, K)]

activity = lambda: {}
if a.peer.startswith("snnsim"):
    import _snnsim as S
    from snnsim import LI, LIF, Network
    net = Network()
    net.input("input", C)
    same = S.constants(1e3 * a.dt, AL, BE)  # ms
    net.population("hidden0", H, LIF(**same, v_threshold=1.0, reset="subtract"))
    net.population("output", K, LI(**same))
    for i, o, m in (("input", "hidden0", W[0]), ("hidden0", "hidden0", W[1]), ("hidden0", "output", W[2])):
        net.connect(i, o, weight=m, delay=1e3 * a.dt if i == o else 0.0)
    unit = S.Training(net, net.tensors, 1e3 * a.dt, T, a.peer.split("-")[1], a.lr, a.threads)
    x, xt = S.Lists(x), S.Lists(xt)
    step, predict, activity = unit.step, unit.predict, unit.spikes
elif a.peer == "jax":
    import jax, jax.numpy as jnp, optax
    jax.config.update("jax_platforms", "cpu")
    @jax.custom_vjp
    def spike(v): return (v >= 0).astype(v.dtype)
    spike.defvjp(lambda v: (spike(v), v), lambda v, g: (g / (1 + 10 * jnp.abs(v)) ** 2,))
    def net(w, x):
        xw = (x.reshape(-1, C) @ w[0]).reshape(x.shape[0], T, H).transpose(1, 0, 2)
        z, zo = jnp.zeros((x.shape[0], H)), jnp.zeros((x.shape[0], K))
        def f(c, xk):
            i, v, s = c
            i = AL * i + xk + s @ w[1]; v = BE * v + (1 - BE) * i - jax.lax.stop_gradient(s); s = spike(v - 1)
            return (i, v, s), s
        h = jax.lax.scan(f, (z, z, z), xw)[1]
        hw = (h.reshape(-1, H) @ w[2]).reshape(T, -1, K)
        def g(c, xk):
            i, v = c; i = AL * i + xk; v = BE * v + (1 - BE) * i
            return (i, v), v
        return jax.lax.scan(g, (zo, zo), hw)[1].mean(0)
    opt = optax.adam(a.lr); w = tuple(map(jnp.asarray, W)); state = opt.init(w)
    def loss(w, x, y): return optax.softmax_cross_entropy_with_integer_labels(net(w, x), y).mean()
    @jax.jit
    def train(w, state, x, y):
        l, g = jax.value_and_grad(loss)(w, x.astype(jnp.float32), y); up, state = opt.update(g, state)
        return optax.apply_updates(w, up), state, l
    pred = jax.jit(lambda w, x: net(w, x.astype(jnp.float32)).argmax(1))
    def step(xb, yb):
        global w, state
        w, state, l = train(w, state, xb, yb); return float(l)
    predict = lambda xb: np.asarray(pred(w, xb))
else:
    import torch
    torch.set_num_threads(a.threads); torch.manual_seed(a.seed)
    class Spike(torch.autograd.Function):
        @staticmethod
        def forward(ctx, v): ctx.save_for_backward(v); return (v >= 0).float()
        @staticmethod
        def backward(ctx, g): (v,) = ctx.saved_tensors; return g / (1 + 10 * v.abs()) ** 2
    w = [torch.nn.Parameter(torch.from_numpy(m.copy())) for m in W]
    readout = lambda h: _read(h @ w[2])
    def _read(hw):
        i = v = torch.zeros_like(hw[0]); total = 0
        for k in range(T): i = AL * i + hw[k]; v = BE * v + (1 - BE) * i; total = total + v
        return total / T
    if a.peer in ("torch", "torch-compile"):
        if a.peer == "torch-compile":
            spike = lambda v: (lambda sg: (v >= 0).float().detach() + sg - sg.detach())(v / (1 + 10 * v.abs()))
        else: spike = Spike.apply
        def cell(xk, i, v, s):
            i = AL * i + xk + s @ w[1]; v = BE * v + (1 - BE) * i - s.detach(); return i, v, spike(v - 1)
        if a.peer == "torch-compile": cell = torch.compile(cell)
        def net(x):
            xw = (x.transpose(0, 1) @ w[0]); i = v = s = torch.zeros_like(xw[0]); hs = []
            for k in range(T): i, v, s = cell(xw[k], i, v, s); hs.append(s)
            return readout(torch.stack(hs))
    elif a.peer == "snntorch":
        import snntorch as snn
        from snntorch import surrogate
        l = snn.RSynaptic(alpha=AL, beta=BE, all_to_all=True, linear_features=H, threshold=1 / (1 - BE), spike_grad=surrogate.fast_sigmoid(10 * (1 - BE)))
        l.recurrent.bias = None; l.recurrent.weight.data[:] = w[1].data.T; w = [w[0], l.recurrent.weight, w[2]]
        def net(x):
            xw = x.transpose(0, 1) @ w[0]; s = torch.zeros_like(xw[0]); i = v = torch.zeros_like(xw[0]); hs = []
            for k in range(T): s, i, v = l(xw[k], s, i, v); hs.append(s)
            return readout(torch.stack(hs))
    elif a.peer == "norse":
        import norse.torch as nt
        l = nt.LIFRecurrentCell(H, H, p=nt.LIFParameters(tau_mem_inv=torch.tensor(50.), tau_syn_inv=torch.tensor(100.)), dt=a.dt, autapses=True)
        l.input_weights.requires_grad_(False); l.input_weights.data = torch.eye(H); l.recurrent_weights.data = w[1].data.T.clone()
        w = [w[0], l.recurrent_weights, w[2]]
        def net(x):
            xw = x.transpose(0, 1) @ w[0]; state = None; hs = []
            for k in range(T): s, state = l(xw[k], state); hs.append(s)
            return readout(torch.stack(hs))
    elif a.peer == "spikingjelly":
        from spikingjelly.activation_based import neuron, functional
        l = neuron.LIFNode(tau=1 / (1 - BE), decay_input=True, v_reset=None)
        def net(x):
            xw = x.transpose(0, 1) @ w[0]; functional.reset_net(l); s = i = torch.zeros_like(xw[0]); hs = []
            for k in range(T): i = AL * i + xw[k] + s @ w[1]; s = l(i); hs.append(s)
            return readout(torch.stack(hs))
    else: sys.exit(f"--peer {a.peer}: jax, torch, torch-compile, snntorch, norse, spikingjelly")
    opt = torch.optim.Adam(w, a.lr); ce = torch.nn.CrossEntropyLoss()
    def step(xb, yb):
        opt.zero_grad(); l = ce(net(torch.from_numpy(xb).float()), torch.from_numpy(yb)); l.backward(); opt.step(); return float(l)
    def predict(xb):
        with torch.no_grad(): return net(torch.from_numpy(xb).float()).argmax(1).numpy()

times, accs = [], []
for e in range(a.epochs):
    order = rng.permutation(len(y)); losses = []
    for b in range(0, len(order) - B + 1, B):
        j = order[b:b + B]; t0 = time.perf_counter(); losses.append(step(x[j], y[j])); times.append(time.perf_counter() - t0)
    good = sum((predict(xt[b:b + B]) == yt[b:b + B]).sum() for b in range(0, len(yt) - B + 1, B)) / (len(yt) // B * B)
    accs.append(round(float(good), 4)); print(f"{a.peer} epoch {e + 1}: loss {np.mean(losses):.4f}, test {good:.4f}", file=sys.stderr)
import resource
print(json.dumps(dict(peer=a.peer, threads=a.threads, ms_per_batch=round(float(np.median(times[10:])) * 1e3, 2), sec_per_epoch=round(float(np.median(times[10:])) * len(y) / B, 2),
    peak_mb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024), steps=T, hidden=H, leave_out=a.leave_out, test=accs, spikes=activity())))
