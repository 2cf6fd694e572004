"""One training over many MPI processes: the single process's result, equal weights everywhere, and a clear end."""

import functools
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest

from snnsim import training
from snnsim.extras import install_command
from snnsim.models import load_model
from snnsim.processes import Group, Total, divided
from snnsim.recording.lock import wait_until_free
from snnsim.recording.runs import load_tree
from tests import ROOT
from tests.command import COMMAND, Caller, start
from tests.one_of_many import CASES, SMALL, digest, trained

MPIEXEC = Path(sysconfig.get_path("scripts")) / "mpiexec"
# float32 sums in another order, in networks so small that no spike comes or goes: rounding, and what the optimiser
# makes of it within an epoch.
TOLERANCE = 1e-5
# Four processes beside two: more of them than samples, and parts of a batch that they divide otherwise.
THREADS = {2: (1, 2), 4: (1,)}
MANY = [(2, name) for name in CASES] + [
    (4, name)
    for name in ("leaky readout", "last batch of one", "hybrid", "four parts", "twenty parts, last batch of one")
]


@pytest.fixture
def call(monkeypatch, capsys):
    return Caller(monkeypatch, capsys)


def mpiexec(n, *command):
    """Start a command on ``n`` processes of one thread."""
    return subprocess.Popen(
        [MPIEXEC, "-n", str(n), *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
    )


def ended(process):
    """Exit code, stdout and stderr."""
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


def train(n, *arguments):
    """Run the command's training on ``n`` processes."""
    return ended(mpiexec(n, *COMMAND, "train", "--distributed", "mpi", "--threads", 1, *arguments))


def settings(small_mnist):
    """Options of a training of two epochs of 14 batches on 270 images."""
    changes = [*SMALL, f"data.data_dir={small_mnist}", "training.epochs=2", "training.batch_size=20"]
    return [part for change in changes for part in ("--set", change)]


def distance(weights, others):
    """Norm of the difference of two networks' weights, relative to the norm."""
    a, b = (np.concatenate([np.ravel(w) for w in each]).astype(float) for each in (weights, others))
    return np.linalg.norm(a - b) / np.linalg.norm(b)


def model(directory):
    return load_model(directory / "model.h5")[0].weights


def outcome(directory):
    """What must be equal bit for bit after a run: the last state, and metrics but for the seconds."""
    state = load_tree(directory / "checkpoint.h5", "checkpoint")["session"]
    metrics = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    slots = state.pop("tensors"), state["optimizer"].pop("first"), state["optimizer"].pop("second")
    state.pop("average")  # the tensors themselves
    bits = [w.tobytes() for tensors in slots for w in tensors.values()]
    return repr(state), bits, [{**m, "seconds": None} for m in metrics]


@pytest.fixture(scope="module")
def many(small_mnist, tmp_path_factory):
    """``many(n)``: reports and weights of the trainings on n processes, one for each number of threads."""
    done = {}

    def run(n):
        if n in done:
            assert len(done[n]) == len(THREADS[n]), f"{n} processes failed before"
            return done[n]
        results = done[n] = []
        for threads in THREADS[n]:
            out = tmp_path_factory.mktemp("many") / "result"
            names = [name for number, name in MANY if number == n]
            code, _, err = ended(
                mpiexec(n, sys.executable, "-m", "tests.one_of_many", small_mnist, out, threads, *names)
            )
            assert code == 0, err
            results.append((json.loads(out.with_suffix(".json").read_text()), dict(np.load(out.with_suffix(".npz")))))
        return results

    return run


@pytest.fixture(scope="module")
def alone(small_mnist):
    """``alone(name, micro_batches)``: the case on a single process, trained once."""
    return functools.cache(lambda name, micro_batches=1: trained(name, small_mnist, None, micro_batches))


@pytest.mark.parametrize(("n", "name"), MANY)
def test_as_the_single_process(many, alone, n, name):
    report, arrays = many(n)[0]
    session, numbers = alone(name)
    found = [arrays[f"{name} {layer}"] for layer in range(len(session.weights))]
    assert distance(found, session.weights) < TOLERANCE
    case = report["cases"][name]
    for key in ("steps", "totals", "validation"):
        np.testing.assert_allclose(case[key], numbers[key], rtol=1e-4)
    assert case["confusion"] == numbers["confusion"]


@pytest.mark.parametrize(("n", "name"), MANY)
def test_the_bits_of_a_single_process_that_computes_as_many_parts(many, alone, n, name):
    report, _ = many(n)[0]
    session, numbers = alone(name, n)
    found = report["cases"][name]
    assert found["digests"] == [digest(session)] * n
    assert {key: found[key] for key in numbers} == json.loads(json.dumps(numbers))


def test_the_number_of_parts_matters(alone):
    assert len({digest(alone("leaky readout", n)[0]) for n in (1, 2, 4)}) == 3


@pytest.mark.parametrize("name", CASES)
def test_every_process_has_the_same_bits_and_so_has_every_run(many, name):
    (first, _), (second, _) = many(2)
    digests = first["cases"][name]["digests"] + second["cases"][name]["digests"]
    assert len(digests) == 4
    assert len(set(digests)) == 1
    assert first["cases"][name] == second["cases"][name]


@pytest.mark.parametrize("n", [2, 4])
def test_the_cores_are_divided(many, n):
    report, _ = many(n)[0]
    cores = len(os.sched_getaffinity(0))
    assert report["threads"] == [max(1, cores // n)] * n


@pytest.mark.parametrize("n", [2, 4])
def test_other_weights_in_one_process_are_an_error_in_all(many, n):
    report, _ = many(n)[0]
    assert len(set(report["different"])) == 1
    assert report["different"][0].startswith("weights: processes [1] have other values than process 0")
    assert len(report["different"]) == n


# Process 1 dies in the second epoch; the leading one has saved after every batch.
KILLED = """
import os, sys
from snnsim import config, training
from snnsim.processes import join
from snnsim.threads import use_threads
from snnsim.training import run
run.CHECKPOINT_SECONDS = 0
with join("mpi") as group:
    use_threads(1)
    step = training.Session.step
    def doomed(self):
        if self.group.rank == 1 and (self.epoch, self.batch) == (1, 5):
            os.kill(os.getpid(), 9)
        return step(self)
    training.Session.step = doomed
    training.train(config.load(None, sys.argv[2:]), sys.argv[1], group=group)
"""


@pytest.mark.parametrize(("micro_batches", "numbers"), [(1, (2, 4)), (4, (1, 4))])
def test_after_a_killed_process_the_checkpoint_continues_on_any_number(small_mnist, tmp_path, micro_batches, numbers):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    options = [*settings(small_mnist), "--set", f"training.micro_batches={micro_batches}"]
    code, out, err = train(2, *options, "--run-dir", whole, "--json")
    assert code == 0, err
    assert json.loads(out)["epochs"] == 2
    assert err.count("epoch 2:") == 1
    assert f"snnsim train --resume {whole} --distributed mpi" in err
    code, out, _ = ended(mpiexec(2, sys.executable, "-c", KILLED, killed, *options[1::2]))
    assert code == 9
    assert "Killed (signal 9)" in out
    for n in numbers:
        directory = tmp_path / f"on {n}"
        shutil.copytree(killed, directory)
        if n == 1:
            training.resume(directory)
        else:
            code, _, err = train(n, "--resume", directory)
            assert code == 0, err
            assert "continuing after epoch 1, batch 5" in err
        assert len((directory / "metrics.jsonl").read_text().splitlines()) == 2
        assert distance(model(directory), model(whole)) < TOLERANCE
        if n == 2 or micro_batches == 4:
            assert outcome(directory) == outcome(whole)


# Process 1 alone fails, as its second argument says.
FAILING = """
import sys
from snnsim import config, processes, training
from snnsim.errors import InputError
from snnsim.extras import install_command
processes.GRACE = 0.2
with processes.join("mpi") as group:
    step = training.Session.step
    def failing(self):
        if self.group.rank == 1 and self.batch == 2:
            raise {"bad": InputError("spikes cannot be\\ntold apart"), "bug": ZeroDivisionError("oh")}[sys.argv[2]]
        return step(self)
    training.Session.step = failing
    training.train(config.load(None, sys.argv[3:]), sys.argv[1], group=group)
"""


@pytest.mark.parametrize(
    ("kind", "code", "said"), [("bad", 2, "spikes cannot be told apart"), ("bug", 1, "ZeroDivisionError: oh")]
)
def test_a_process_that_fails_alone_says_so_and_ends_all(small_mnist, tmp_path, kind, code, said):
    process = mpiexec(2, sys.executable, "-c", FAILING, tmp_path / "run", kind, *settings(small_mnist)[1::2])
    found, _, err = ended(process)
    assert found == code
    lines = [line for line in err.splitlines() if line.startswith("snnsim: error: ")]
    assert len(lines) == 1, err
    assert lines[0].startswith("snnsim: error: process 1 of 2, on ")
    assert lines[0].endswith(f": {said}")
    wait_until_free(tmp_path / "run", 30)  # the process that did not fail ends when it is told to
    assert training.resume(tmp_path / "run")["epochs"] == 2


def test_interrupted_in_all_processes_at_the_same_batch(small_mnist, tmp_path):
    process = mpiexec(
        2, *COMMAND, "train", "--distributed", "mpi", *settings(small_mnist), "--set", "training.epochs=10000",
        "--run-dir", tmp_path / "run",
    )  # fmt: skip
    assert any(line.startswith("epoch 3:") for line in process.stderr)
    process.send_signal(signal.SIGINT)
    code, _, err = ended(process)
    assert code == 130, err
    assert err.count("interrupted; continue with: snnsim train --resume") == 1
    done = len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
    assert training.resume(tmp_path / "run", epochs=done + 1)["epochs"] == done + 1


def test_bad_input_of_all_is_one_line(small_mnist, tmp_path):
    options = ("--distributed", "mpi", *settings(small_mnist), "--run-dir", tmp_path / "run")
    cases = {
        ("--set", "training.batch_size=49"): "training.batch_size = 49: must be a multiple of 2 processes",
        ("--set", "training.micro_batches=5"): "training.micro_batches = 5: must be a multiple of 2 processes",
        ("--set", "training.micro_batches=6"): "configuration: training.batch_size = 20: must be a multiple of",
        ("--target", "cuda"): "--target cuda: 2 processes of one training compute on the CPU only",
        ("--record", "spikes"): "--record: 2 processes of one training cannot record",
        ("--epochs", "many"): "Invalid value for '--epochs'",
    }
    started = {said: mpiexec(2, *COMMAND, "train", *options, *extra) for extra, said in cases.items()}
    for said, process in started.items():
        code, out, err = ended(process)
        assert (code, out) == (2, "")
        assert err.startswith(f"snnsim: error: {said}")
        assert len(err.splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_an_existing_run_is_refused_by_all(small_mnist, tmp_path):
    (tmp_path / "config.toml").write_text("")
    code, _, err = train(2, *settings(small_mnist), "--run-dir", tmp_path)
    assert code == 2
    assert err.splitlines() == [
        f"snnsim: error: {tmp_path}: already holds a run (config.toml); --force replaces it, --resume continues"
    ]


def test_without_mpi4py(call, monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    monkeypatch.delitem(sys.modules, "mpi4py.MPI", raising=False)
    said = call.refused("train", "--distributed", "mpi")
    assert said == f"--distributed mpi: mpi4py is missing: {install_command('mpi')}"
    monkeypatch.setenv("PMI_RANK", "1")
    assert call("train", "--distributed", "mpi") == (2, "", "")


def test_unknown_way_of_distribution(call):
    assert call.refused("train", "--distributed", "tcp") == "--distributed tcp: must be one of none, mpi"


def test_without_a_launcher_it_is_a_plain_training(small_mnist, tmp_path, call):
    options = (*settings(small_mnist), "--json", "--run-dir")
    code, _, err = ended(start("train", *options, tmp_path / "mpi", "--distributed", "mpi"))
    assert code == 0, err
    assert call("train", *options, tmp_path / "plain")[0] == 0
    assert all((a == b).all() for a, b in zip(model(tmp_path / "mpi"), model(tmp_path / "plain"), strict=True))


def test_shares_are_contiguous_and_complete():
    for size, each, n in itertools.product((1, 2, 3, 7), (1, 2, 5), (0, 1, 6, 50)):
        shares = []
        for rank in range(size):
            group = Group()
            group.rank, group.size = rank, size
            for part in group.share(divided(n, size * each)):
                shares += list(range(n))[part]
        assert shares == list(range(n))


def in_pairs(arrays):
    """Sum of the first half and that of the second, as long as there are halves; a rest in order."""
    half, rest = divmod(len(arrays), 2)
    if rest:
        return functools.reduce(np.add, arrays)
    return in_pairs(arrays[:half]) + in_pairs(arrays[half:])


def random_arrays(number):
    """Arrays whose sums depend on the order, of sizes that do and do not halve, and empty."""
    rng = np.random.default_rng(number)
    return [rng.normal(size=size).astype(dtype) for size in (0, 1, 7, (12, 10), 70_001) for dtype in ("f4", "f8")]


def test_parts_are_added_in_pairs():
    for n in range(1, 25):
        parts = [random_arrays(number) for number in range(n)]
        total = Total(Group(), n)
        for arrays in [[a.copy() for a in arrays] for arrays in parts]:
            for name, array in enumerate(arrays):
                total.add(name, array)
        total.wait()
        for found, *terms in zip(arrays, *parts, strict=True):
            np.testing.assert_array_equal(found, in_pairs(terms), strict=True)


SUMS = """
import sys
import numpy as np
from snnsim.processes import join
from tests.training.test_distributed import random_arrays
with join("mpi") as group:
    for repeat in range(3):
        arrays = random_arrays(group.rank)
        for array in arrays:
            group.add(array)
        group.wait()
    group.check_equal("sums", arrays)
    if group.leads:
        np.savez(sys.argv[1], *arrays)
"""


@pytest.mark.parametrize("n", [2, 3, 4, 6, 8])
def test_processes_are_added_in_pairs(n, tmp_path):
    code, _, err = ended(mpiexec(n, sys.executable, "-c", SUMS, tmp_path / "sums.npz"))
    assert code == 0, err
    terms = [random_arrays(rank) for rank in range(n)]
    while len(terms) & (len(terms) - 1):
        beyond = terms.pop()
        first = len(terms) - (1 << (len(terms).bit_length() - 1))
        terms[first] = [a + b for a, b in zip(terms[first], beyond, strict=True)]
    found = np.load(tmp_path / "sums.npz")
    for name, each in zip(found.files, zip(*terms, strict=True), strict=True):
        np.testing.assert_array_equal(found[name], in_pairs(each), strict=True)
