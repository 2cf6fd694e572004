"""Preparation, perturbation and division of samples, against plain loops over single events."""

import numpy as np
import pytest

from snnsim import config
from snnsim.datasets.formats import Events
from snnsim.datasets.perturb import Perturbation
from snnsim.datasets.prepare import Preparation, prepared
from snnsim.datasets.sets import sample_sets
from snnsim.datasets.splits import Fold, permutation
from snnsim.errors import InputError
from snnsim.samples import TEST_IDS, VALIDATION_IDS
from snnsim.spikes import Spikes
from tests.data import writers as w


def events_of(samples, shape, tick_ms=1e-3, kind=np.int64):
    """Events of lists of ``(t, x, y, p)``, or ``(t, channel)``."""

    def read(k):
        units = [e[1] if len(shape) == 1 else (e[2] * shape[2] + e[1]) * shape[0] + e[3] for e in samples[k]]
        return np.array([e[0] for e in samples[k]], kind), np.array(units, np.int32)

    return Events(read, lambda k: f"sample {k}", len(samples), shape, tick_ms)


def listed(spikes):
    return [list(zip(*(a.tolist() for a in spikes.trial(b)), strict=True)) for b in range(len(spikes))]


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.mark.parametrize(
    "wanted",
    [
        Preparation(),
        Preparation(crop_start=10.0, crop=20.0),
        Preparation(downsample=2),
        Preparation(downsample=3, merge_polarity=True),
        Preparation(crop=15.0, merge_polarity=True),
    ],
)
@pytest.mark.parametrize("unit", [1.0, 1000.0])
def test_maps_against_single_events(rng, wanted, unit):
    shape = (2, 5, 7)
    samples = [w.random_events(rng, n, shape) for n in (60, 0, 80)]
    spikes, new = prepared(events_of(samples, shape), wanted, unit)
    d, c = wanted.downsample, 1 if wanted.merge_polarity else 2
    assert new == (c, -(-5 // d), -(-7 // d))
    expected = []
    for sample in samples:
        kept = []
        for t, x, y, p in sample:
            time = t * (1e-3 / unit) - wanted.crop_start
            if time >= 0 and (not wanted.crop or time <= wanted.crop):
                kept.append((time, ((y // d) * new[2] + x // d) * c + (0 if wanted.merge_polarity else p)))
        expected.append(sorted(kept))
    assert listed(spikes) == expected
    latest = max((t for kept in expected for t, _ in kept), default=0.0)
    assert spikes.duration == (wanted.crop or latest)


def test_channels_are_binned_and_equal_times_ordered_by_neuron(rng):
    samples = [[(int(t), int(rng.integers(10))) for t in np.sort(rng.integers(0, 6, 40))] for _ in range(3)]
    spikes, shape = prepared(events_of(samples, (10,), 1.0), Preparation(bin_channels=4), 1.0)
    assert shape == (3,)
    assert listed(spikes) == [sorted((float(t), n // 4) for t, n in sample) for sample in samples]


def test_half_precision_is_kept_with_the_spikes():
    events = events_of([[(0.1, 1), (0.2, 2)]], (3,), 1000.0, np.float16)
    spikes, _ = prepared(events, Preparation(), 1.0)
    assert spikes.precision == np.finfo(np.float16).eps
    assert spikes.times.tolist() == [1000 * float(np.float16(0.1)), 1000 * float(np.float16(0.2))]


def some_spikes(rng, shape, n=6, size=50):
    trials = [(rng.random(size) * 100, rng.integers(0, int(np.prod(shape)), size)) for _ in range(n)]
    return Spikes.from_trials(trials, int(np.prod(shape)), 100.0)


def test_nothing_is_perturbed_by_nothing(rng):
    spikes = some_spikes(rng, (9,))
    assert Perturbation()(spikes, (9,), np.arange(6), 1, 2) == spikes
    assert not Perturbation()


def test_perturbation_depends_on_seed_epoch_and_sample_alone(rng):
    shape = (2, 4, 4)
    spikes, made = some_spikes(rng, shape), Perturbation(0.2, 1.0, 0.3, 0, 1, 0.5)
    ids = np.arange(6)
    whole = made(spikes, shape, ids, 7, 3)
    order = np.array([4, 1, 3])
    part = Spikes.from_trials([spikes.trial(b) for b in order], 32, 100.0)
    assert listed(made(part, shape, ids[order], 7, 3)) == [listed(whole)[b] for b in order]
    assert made(spikes, shape, ids, 7, 4) != whole
    assert made(spikes, shape, ids, 8, 3) != whole
    assert made(spikes, shape, ids + 6, 7, 3) != whole


def test_stretch_multiplies_all_times_of_a_sample_by_one_factor(rng):
    spikes = some_spikes(rng, (9,), 200)
    out = Perturbation(stretch=0.3)(spikes, (9,), np.arange(200), 0, 0)
    factors = np.array([out.trial(b)[0][0] / spikes.trial(b)[0][0] for b in range(200)])
    assert 0.7 <= factors.min() < 0.75 < 1.25 < factors.max() <= 1.3
    for b in range(200):
        wanted = spikes.trial(b)[0] * factors[b]
        np.testing.assert_allclose(out.trial(b)[0], wanted[wanted <= 100.0], rtol=1e-12)


def test_jitter_and_drop_have_their_moments(rng):
    times = np.full(20_000, 50.0)
    spikes = Spikes.from_trials([(times, np.zeros(20_000, int))], 1, 100.0)
    jittered = Perturbation(jitter=2.0)(spikes, (1,), np.arange(1), 0, 0).times - 50
    assert jittered.mean() == pytest.approx(0, abs=5 * 2 / 20_000**0.5)
    assert jittered.std() == pytest.approx(2, rel=5 / (2 * 20_000) ** 0.5)
    left = Perturbation(drop=0.3)(spikes, (1,), np.arange(1), 0, 0).times.size
    assert left == pytest.approx(14_000, abs=5 * (20_000 * 0.21) ** 0.5)


def test_shifts_move_channels_and_pixels_together(rng):
    spikes = some_spikes(rng, (40,), 100)
    out = Perturbation(shift_channels=3)(spikes, (40,), np.arange(100), 0, 0)
    moves = set()
    for b in range(100):
        t, n = spikes.trial(b)
        match = [m for m in range(-3, 4) if listed_one(t, n + m, (n + m >= 0) & (n + m < 40)) == listed(out)[b]]
        assert match
        moves.update(match[:1])
    assert moves == set(range(-3, 4))
    shape = (2, 6, 5)
    spikes = some_spikes(rng, shape, 60)
    out = listed(Perturbation(shift=1, flip=0.5)(spikes, shape, np.arange(60), 0, 0))
    seen = set()
    for b in range(60):
        t, n = spikes.trial(b)
        y, x, c = n // 10, n // 2 % 5, n % 2
        found = None
        for flip in (False, True):
            for dy in (-1, 0, 1):
                for dx in (-1, 0, 1):
                    ny, nx = y + dy, (4 - x if flip else x) + dx
                    inside = (ny >= 0) & (ny < 6) & (nx >= 0) & (nx < 5)
                    if listed_one(t, (ny * 5 + nx) * 2 + c, inside) == out[b]:
                        found = flip, dy, dx
        assert found
        seen.add(found)
    assert len(seen) > 12


def listed_one(times, neurons, kept):
    return sorted(zip(times[kept].tolist(), neurons[kept].tolist(), strict=True))


# --- splits


@pytest.fixture
def sorted_classes(tmp_path):
    """60 samples, sorted by class as folders are; three persons."""
    x = np.linspace(0, 1, 60)[:, None]
    np.savez(tmp_path / "a.npz", x=x, y=np.repeat([0, 1, 2], 20), who=np.arange(60) % 3)
    return tmp_path / "a.npz"


def sets(path, *changes):
    return sample_sets(config.load(None, [f"data.dataset={path}", *changes]))


def numbers(samples):
    """Which samples these are, by the values that they have in the file."""
    return np.rint(samples.x[:, 0] * 59).astype(int).tolist()


def test_shares_are_drawn_once_for_every_seed(sorted_classes):
    made = sets(sorted_classes)
    assert [len(s) for s in (made.train, made.validation, made.test)] == [44, 4, 12]
    parts = [numbers(s) for s in (made.train, made.validation, made.test)]
    assert sorted(parts[0] + parts[1] + parts[2]) == list(range(60))
    assert [numbers(s) for s in (made.train, made.test)] == [sorted(parts[0]), sorted(parts[2])]
    other = sets(sorted_classes, "training.seed=7")
    assert [numbers(s) for s in (other.train, other.validation, other.test)] == parts
    assert set(made.train.y) == {0, 1, 2} == set(made.test.y)  # not the last class alone
    assert made.test.ids.tolist() == [TEST_IDS + k for k in range(12)]
    assert not set(made.train.ids) & set(made.validation.ids)


def test_folds_divide_the_samples(sorted_classes):
    tested = []
    for k in range(1, 8):
        made = sets(sorted_classes, f"data.fold={k}/7", "data.validation=0")
        assert sorted(numbers(made.train) + numbers(made.test)) == list(range(60))
        assert len(made.test) in (8, 9)
        tested += numbers(made.test)
    assert sorted(tested) == list(range(60))
    assert sorted(permutation(60)) == list(range(60))
    assert Fold.parsed("3/10") == Fold(3, 10)


@pytest.mark.parametrize(("text", "who"), [("who=2", {2}), ("who=0,2", {0, 2})])
def test_a_group_is_left_out(sorted_classes, text, who):
    made = sets(sorted_classes, f'data.leave_out="{text}"')
    assert {k % 3 for k in numbers(made.test)} == who
    assert not {k % 3 for k in numbers(made.train) + numbers(made.validation)} & who
    assert len(made.train) + len(made.validation) + len(made.test) == 60


def test_a_group_is_left_out_of_all_parts(tmp_path):
    for half, n in (("train", 8), ("test", 4)):
        w.shd(tmp_path / f"a_{half}.h5", [([0.001], [k % 2]) for k in range(n)], [0, 1] * (n // 2), np.arange(n) % 4)
    made = sets(tmp_path, "data.leave_out=speaker=3", "data.validation=0")
    assert (len(made.train), len(made.test)) == (9, 3)
    assert set(made.test.groups["speaker"]) == {3}


def test_a_published_validation_set_is_used(tmp_path):
    for half, n in (("train", 8), ("test", 4), ("valid", 6)):
        w.shd(tmp_path / f"a_{half}.h5", [([0.001], [0]) for k in range(n)], [0, 1] * (n // 2))
    made = sets(tmp_path)
    assert [len(s) for s in (made.train, made.validation, made.test)] == [8, 6, 4]
    assert made.validation.ids.tolist() == [VALIDATION_IDS + k for k in range(6)]
    assert len(sets(tmp_path, "data.validation=2").validation) == 2


def test_limit_takes_of_every_class(sorted_classes):
    made = sets(sorted_classes, "data.limit=20")
    assert (len(made.train) + len(made.validation), len(made.test)) == (20, 12)
    assert set(made.train.y) == {0, 1, 2}


def test_labels_are_numbered_in_their_order(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.eye(6), y=np.array(["cat", "ant", "bee"] * 2))
    made = sets(tmp_path / "a.npz", "data.validation=0", "data.test=1")
    assert made.train.classes == ("ant", "bee", "cat")
    np.savez(tmp_path / "b.npz", x=np.eye(6), y=np.array([30, 7, 7, 30, 7, 30]))
    made = sets(tmp_path / "b.npz", "data.validation=0", "data.test=1")
    assert made.train.classes == (7, 30)
    assert set(made.train.y) <= {0, 1}


def test_units_of_time_are_converted(tmp_path):
    w.shd(tmp_path / "a.h5", [([0.001], [0]), ([0.002], [1]), ([0.001], [0])], [0, 1, 0], kind=np.float64)
    given = [f"data.dataset={tmp_path / 'a.h5'}", "data.test=1", "data.validation=0"]
    made = sample_sets(config.load(None, given))
    assert set(made.train.x.times.tolist()) <= {1.0, 2.0}
    changes = ["simulation.time_unit=s", "simulation.dt=1e-4"]
    made = sample_sets(config.load(None, [*given, *changes, "network.tau_mem=0.02", "network.tau_syn=0.01"]))
    assert set(made.train.x.times.tolist()) <= {0.001, 0.002}


def test_perturbation_of_the_wrong_kind_is_refused(sorted_classes, tmp_path):
    from snnsim.training import Session

    def session(*changes):
        made = Session(config.load(None, ["network.layers=[1, 3]", f"data.dataset={sorted_classes}", *changes]))
        made.next_batch()

    with pytest.raises(InputError, match=r"data\.jitter = 2: belongs to events; a\.npz has intensities"):
        session("data.jitter=2")
    with pytest.raises(InputError, match="no images of one channel"):
        session("data.shift=2")
    w.shd(tmp_path / "b.h5", [([0.001], [0])] * 10, [0, 1] * 5)
    events = ["network.layers=[1, 2]", f"data.dataset={tmp_path / 'b.h5'}"]
    for change, message in (
        ("data.flip=0.5", r"data\.flip = 0\.5: b has channels, and no map of pixels"),
        ("data.rotation=5", r"data\.rotation = 5: belongs to images; b has events"),
        ("data.mixup=0.2", r"data\.mixup = 0\.2: belongs to images"),
    ):
        with pytest.raises(InputError, match=message):
            Session(config.load(None, [*events, change])).next_batch()
