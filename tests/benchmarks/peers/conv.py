"""Convolutional training on MNIST in each peer: one work unit, timed the same way, one JSON line a run.

    VENVS/torch/bin/python conv.py --peer torch|torch-compile|snntorch|spikingjelly|norse --data ../data/mnist --batches 60
    python conv.py --peer snnsim-exact|snnsim-surrogate ...

Work unit: 15C5-P2-40C5-P2-300-10 (TSSL-BP's and BATS' MNIST network, P2 an average over 2 x 2), no bias, float32;
current-based LIF with exponential synaptic filter, a = exp(-dt/0.6), b = exp(-dt/0.8), dt 0.25, T = 10 steps;
deterministic rate code of the pixels (error diffusion over the steps), leaky readout, cross entropy on its mean; surrogate
1/(1+10|v-1|)^2, reset by subtraction; batch 50, Adam 1e-3. Products and convolutions are done over T*B at once.
SpikingJelly's LIFNode has no synaptic filter (a lighter neuron).
"""
import argparse, gzip, json, math, os, sys, time
n = sys.argv[sys.argv.index("--threads") + 1] if "--threads" in sys.argv else str(os.cpu_count())
for k in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"): os.environ[k] = n
if int(n) < os.cpu_count(): os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-int(n):])
import numpy as np, resource
p = argparse.ArgumentParser()
p.add_argument("--peer", required=True); p.add_argument("--data", required=True); p.add_argument("--batches", type=int, default=60)
p.add_argument("--threads", type=int, default=int(n)); p.add_argument("--steps", type=int, default=10); p.add_argument("--seed", type=int, default=0)
p.add_argument("--eval", type=int, default=2000); p.add_argument("--lr", type=float, default=1e-3)
a = p.parse_args()
T, B, AL, BE = a.steps, 50, math.exp(-0.25 / 0.6), math.exp(-0.25 / 0.8)
def idx(f, off): return np.frombuffer(gzip.open(f"{a.data}/{f}").read(), np.uint8, offset=off)
x, y = idx("train-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28), idx("train-labels-idx1-ubyte.gz", 8).astype(np.int64)
xt, yt = idx("t10k-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28), idx("t10k-labels-idx1-ubyte.gz", 8).astype(np.int64)
activity = lambda: {}
if a.peer.startswith("snnsim"):
    import _snnsim as S
    from snnsim import LI, LIF, Convolution, Dense, Network, Pool
    net = Network()
    same = S.constants(0.25, AL, BE)
    cell = LIF(**same, v_threshold=1.0, reset="subtract")
    net.input("input", (1, 28, 28))
    for name, shape in (("hidden0", (15, 24, 24)), ("hidden1", (40, 8, 8)), ("hidden2", 300)): net.population(name, shape, cell)
    net.population("output", 10, LI(**same))
    r = np.random.default_rng(a.seed); u = lambda n, *s: (r.uniform(-1, 1, s) / math.sqrt(n)).astype(np.float32)
    net.connect("input", "hidden0", Convolution(5), weight=3 * u(25, 1, 5, 5, 15))
    net.connect("hidden0", "hidden1", Convolution(5, pool=Pool(2)), weight=3 * u(375, 15, 5, 5, 40))
    net.connect("hidden1", "hidden2", Dense(pool=Pool(2)), weight=3 * u(640, 640, 300))
    net.connect("hidden2", "output", weight=u(300, 300, 10))
    unit = S.Training(net, net.tensors, 0.25, T, a.peer.split("-")[1], a.lr, a.threads)
    ends = np.arange(T + 1, dtype=np.float32)[:, None]
    def encode(b):
        q = np.floor(b.reshape(len(b), 1, 784).astype(np.float32) / 255 * ends + 1e-6); return S.lists((q[:, 1:] - q[:, :-1]).astype(np.uint8))
    step, predict, activity = lambda xb, yb: unit.step(encode(xb), yb), lambda xb: unit.predict(encode(xb)), unit.spikes
else:
    import torch
    torch.set_num_threads(a.threads); torch.manual_seed(a.seed)
    def encode(b):
        k = torch.arange(T + 1).float().view(-1, 1, 1, 1, 1); q = torch.from_numpy(b.copy()).float() / 255
        return (torch.floor(q * k[1:] + 1e-6) - torch.floor(q * k[:-1] + 1e-6))        # T,B,1,28,28
    class Spike(torch.autograd.Function):
        @staticmethod
        def forward(ctx, v): ctx.save_for_backward(v); return (v >= 0).float()
        @staticmethod
        def backward(ctx, g): (v,) = ctx.saved_tensors; return g / (1 + 10 * v.abs()) ** 2
    def loop(x, spike):
        i = v = s = torch.zeros_like(x[0]); out = []
        for k in range(T): i = AL * i + x[k]; v = BE * v + (1 - BE) * i - s.detach(); s = spike(v - 1); out.append(s)
        return torch.stack(out)
    if a.peer == "torch": lif = lambda x, l: loop(x, Spike.apply)
    elif a.peer == "torch-compile": lif = (lambda f: lambda x, l: f(x))(torch.compile(lambda x: loop(x, lambda v: (lambda sg: (v >= 0).float().detach() + sg - sg.detach())(v / (1 + 10 * v.abs())))))
    elif a.peer == "snntorch":
        import snntorch as snn; from snntorch import surrogate
        cells = [snn.Synaptic(alpha=AL, beta=BE, threshold=1 / (1 - BE), spike_grad=surrogate.fast_sigmoid(10 * (1 - BE))) for _ in range(3)]
        def lif(x, l):
            i = v = torch.zeros_like(x[0]); out = []
            for k in range(T): s, i, v = cells[l](x[k], i, v); out.append(s)
            return torch.stack(out)
    elif a.peer == "spikingjelly":
        from spikingjelly.activation_based import neuron, functional
        cells = [neuron.LIFNode(tau=1 / (1 - BE), v_reset=None, step_mode="m", decay_input=False) for _ in range(3)]
        def lif(x, l): functional.reset_net(cells[l]); return cells[l](x)
    elif a.peer == "norse":
        import norse.torch as nt
        par = nt.LIFParameters(tau_mem_inv=torch.tensor(1 / 0.8), tau_syn_inv=torch.tensor(1 / 0.6)); cell = nt.LIFCell(par, dt=0.25)
        def lif(x, l):
            st = None; out = []
            for k in range(T): s, st = cell(x[k], st); out.append(s)
            return torch.stack(out)
    c1, c2 = torch.nn.Conv2d(1, 15, 5, bias=False), torch.nn.Conv2d(15, 40, 5, bias=False)
    f1, f2 = torch.nn.Linear(640, 300, bias=False), torch.nn.Linear(300, 10, bias=False)
    for m in (c1, c2, f1): m.weight.data *= 3
    pool = torch.nn.AvgPool2d(2)
    def net(x):
        f = lambda layer, x: layer(x.flatten(0, 1)).unflatten(0, (T, x.shape[1]))
        h = lif(f(c1, x), 0); h = lif(f(lambda z: c2(pool(z)), h), 1); h = lif(f(lambda z: f1(pool(z).flatten(1)), h), 2); h = f(f2, h)
        i = v = torch.zeros_like(h[0]); total = 0
        for k in range(T): i = AL * i + h[k]; v = BE * v + (1 - BE) * i; total = total + v
        return total / T
    opt = torch.optim.Adam([m.weight for m in (c1, c2, f1, f2)], a.lr); ce = torch.nn.CrossEntropyLoss()
    def step(xb, yb): opt.zero_grad(); l = ce(net(encode(xb)), torch.from_numpy(yb)); l.backward(); opt.step(); return float(l)
    def predict(xb):
        with torch.no_grad(): return net(encode(xb)).argmax(1).numpy()
rng = np.random.default_rng(a.seed)
times, losses = [], []; order = rng.permutation(len(y))
for b in range(a.batches):
    j = order[(b * B) % 59950:][:B]; t0 = time.perf_counter(); losses.append(step(x[j], y[j])); times.append(time.perf_counter() - t0)
good = sum((predict(xt[b:b + B]) == yt[b:b + B]).sum() for b in range(0, a.eval, B)) / max(a.eval, 1)
print(json.dumps(dict(peer=a.peer, threads=a.threads, ms_per_batch=round(float(np.median(times[5:])) * 1e3, 2), sec_per_epoch=round(float(np.median(times[5:])) * 1200, 1),
    peak_mb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024), steps=T, batches=a.batches, loss=round(float(np.mean(losses[-20:])), 4), test=round(float(good), 4), spikes=activity())))
