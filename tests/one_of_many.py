"""A process of ``mpiexec -n N python -m tests.one_of_many DATA OUT THREADS CASES``: for training/test_distributed.py.

Each case is trained for an epoch; process 0 writes weights and evaluations, with digests of every process's weights.
"""

import hashlib
import json
import sys

import numpy as np

from snnsim.processes import join

SMALL = (
    "network.layers=[784, 12, 10]",
    "simulation.n_steps=20",
    "encoder.max_probability=0.2",
    "training.batch_size=48",
    "data.limit=300",
    "optimizer.lr=0.005",
)
# 445 samples are 401 and 44 for validation: a last batch of one, that leaves most processes without a sample.
LAST_IS_ONE = ("data.limit=445", "training.batch_size=100")
IN_TIME = ("encoder.name=latency", "encoder.t_latest=1.0", "loss.name=first-spike", "network.init_scale=4")
CASES = {
    "leaky readout": (),
    "last batch of one": LAST_IS_ONE,
    "silent push, clipped": ("loss.name=count-mse", "loss.silent_push=0.5", "optimizer.clip_norm=0.1"),
    "surrogate, three layers": ("gradient.method=surrogate", "network.layers=[784, 12, 12, 10]", "data.shift=1"),
    "dense, to a rate": ("simulation.synapse=dense", "network.target_rate=1", "optimizer.name=sgd"),
    "event": ("simulation.engine=event", *IN_TIME, *LAST_IS_ONE, "loss.silent_push=0.5"),
    "event, leaky": ("simulation.engine=event", *LAST_IS_ONE),
    "hybrid": ("simulation.engine=hybrid", *IN_TIME, "optimizer.schedule=cosine"),
    "four parts": ("training.micro_batches=4", "training.dropout=0.2", "data.rotation=10", "data.mixup=0.4"),
    "four parts, costly spikes": ("training.micro_batches=4", "gradient.method=surrogate", "loss.activity_cost=0.5"),
    "twelve parts": ("training.micro_batches=12", "loss.name=count-mse", "loss.silent_push=0.5"),
    "twenty parts, last batch of one": ("training.micro_batches=20", *LAST_IS_ONE),
}


def trained(name, data_dir, group=None, micro_batches=1):
    """Session, and numbers that must agree, after an epoch of a case; its own number of micro-batches is left."""
    from snnsim import config
    from snnsim.training import Session, evaluate

    given = f"data.data_dir={data_dir}", f"training.micro_batches={micro_batches}"
    session = Session(config.load(None, [*SMALL, *given, *CASES[name]]), None, group)
    steps = [session.step() for _ in range(session.batches)]
    totals = session.end_epoch()
    validation = evaluate(session, session.validation)
    numbers = {
        "steps": steps,
        "totals": [totals.samples, totals.loss, totals.correct, *totals.spikes],
        "validation": [validation.samples, validation.loss, validation.accuracy, *validation.spikes_per_neuron],
        "confusion": validation.confusion.tolist(),
    }
    return session, numbers


def digest(session):
    """Digest of the bits of all weights and of the optimiser's state."""
    arrays = *session.weights, *session.optimizer.first.values(), *session.optimizer.second.values()
    return hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest()


def difference(group):
    """What is said when one process has other weights."""
    from snnsim.errors import InputError

    try:
        group.check_equal("weights", [np.full(3, group.rank == 1, np.float32)])
    except InputError as error:
        return str(error)


def main(data_dir, out, threads, names):
    """Train the named cases, and write what came out."""
    from mpi4py import MPI

    from snnsim.threads import use_threads

    with join("mpi") as group:
        report = {"threads": MPI.COMM_WORLD.allgather(group.threads(0)), "cases": {}}
        use_threads(threads)
        arrays = {}
        for name in names:
            session, numbers = trained(name, data_dir, group)
            report["cases"][name] = {"digests": MPI.COMM_WORLD.allgather(digest(session)), **numbers}
            arrays |= {f"{name} {layer}": w for layer, w in enumerate(session.weights)}
        report["different"] = MPI.COMM_WORLD.allgather(difference(group))
        if group.leads:
            np.savez(f"{out}.npz", **arrays)
            with open(f"{out}.json", "w") as file:
                json.dump(report, file)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:])
