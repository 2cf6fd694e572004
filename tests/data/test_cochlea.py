"""The cochlea against closed forms, and WAV files of all kinds."""

import io
import wave
from itertools import pairwise

import numpy as np
import pytest

import snnsim as sn
from snnsim import hearing as c
from snnsim.errors import InputError


@pytest.mark.parametrize("rate", [8000, 48_000])
@pytest.mark.parametrize("frequency", [100.0, 1000.0, 3000.0])
def test_impulse_response_is_the_gammatone(rate, frequency):
    """t^3 exp(-2 pi b t) cos(2 pi f t), up to the one factor that makes the gain at f one."""
    impulse = np.zeros(rate // 4)
    impulse[0] = 1
    t = np.arange(impulse.size) / rate
    b = 1.019 * (24.7 + frequency * 24.7 * 4.37 / 1000)  # Glasberg & Moore 1990, eq. 3, in kHz
    wanted = t**3 * np.exp(-2 * np.pi * b * t) * np.cos(2 * np.pi * frequency * t)
    at_f = np.abs(np.sum(wanted * np.exp(-2j * np.pi * frequency * t)))
    # What the response has decayed to at the end of a quarter of a second is all that is cut off.
    got = c.gammatone(impulse, rate, frequency) * at_f
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-9 * wanted.max())


def test_channels_are_even_in_erb_rate():
    f = c.frequencies(5, 100, 4000)
    assert f[[0, -1]] == pytest.approx([100, 4000])
    # The ERB-rate is the integral of 1 / ERB.
    grids = [np.linspace(a, b, 4001) for a, b in pairwise(f)]
    steps = [np.trapezoid(1 / (24.7 * (0.00437 * g + 1)), g) for g in grids]
    np.testing.assert_allclose(steps, steps[0], rtol=1e-3)


def test_integrate_and_fire_of_a_constant_and_of_a_step():
    """Constant drive r: spikes at k threshold / r; a drive that begins within a sample is found between samples."""
    np.testing.assert_allclose(c.integrate_and_fire(np.full(100, 2.0), 10.0, 0.5), 0.25 * np.arange(1, 41), rtol=1e-12)
    drive = np.array([0.0, 0.0, 3.0, 0.0])
    np.testing.assert_allclose(c.integrate_and_fire(drive, 1.0, 1.0), [2 + 1 / 3, 2 + 2 / 3, 3.0], rtol=1e-12)
    assert c.integrate_and_fire(np.zeros(5), 1.0, 1.0).size == 0


def test_a_tone_drives_its_channel_at_the_stated_rate():
    rate, channels = 16_000, 16
    f = c.frequencies(channels, 100, 6400)
    tone = np.sin(2 * np.pi * f[7] * np.arange(rate) / rate)
    spikes = sn.cochlea(tone, rate, channels=channels, max_rate=300.0, floor=0.0)
    counts = spikes.counts()[0]
    assert counts.argmax() == 7
    assert counts[7] == pytest.approx(300, rel=0.02)  # but for the first milliseconds, in which the filter rises
    assert (spikes.n_neurons, spikes.duration) == (16, 1000.0)
    assert (spikes.times[1:] >= spikes.times[:-1]).all()


def test_silence_gives_no_spikes_and_the_floor_cuts_noise():
    assert sn.cochlea(np.zeros(800), 8000).times.size == 0
    noise = 0.001 * np.random.default_rng(0).standard_normal(8000)
    assert sn.cochlea(noise, 8000, floor=0.01).times.size == 0
    assert sn.cochlea(noise, 8000, floor=0.0).times.size > 0


def wav(path, samples, rate=8000, width=2, tracks=1):
    with wave.open(str(path), "wb") as file:
        file.setnchannels(tracks)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())


def test_wav_files_of_several_widths_and_tracks_give_the_same(tmp_path):
    tone = np.sin(2 * np.pi * 700 * np.arange(2000) / 8000)
    wav(tmp_path / "16.wav", np.int16(np.rint(tone * 32767)))
    wav(tmp_path / "32.wav", np.int32(np.rint(tone * (2**31 - 1))), width=4)
    wav(tmp_path / "2.wav", np.repeat(np.int16(np.rint(tone * 32767)), 2), tracks=2)
    wav(tmp_path / "8.wav", np.uint8(np.rint(tone * 127 + 128)), width=1)
    made = sn.cochlea([tmp_path / f"{name}.wav" for name in ("16", "32", "2", "8")], channels=12)
    array = sn.cochlea(tone, 8000, channels=12)
    for trial, allowed in zip(range(4), (2, 1, 2, 40), strict=True):
        assert abs(made.trial(trial)[0].size - array.times.size) <= allowed
    assert made.trial(0)[0].size == made.trial(2)[0].size


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        (np.zeros(5), {}, "sample_rate: arrays need it"),
        (np.full(5, 2.0), {"sample_rate": 8000}, "sound 0: samples up to 2: must be finite and lie in -1..1"),
        (np.array([0.0, np.nan]), {"sample_rate": 8000}, "must be finite"),
        (np.zeros(0), {"sample_rate": 8000}, "sound 0: has no samples"),
        ([], {"sample_rate": 8000}, "sounds: none"),
        (np.zeros(5), {"sample_rate": 8000, "high": 5e3}, "low = 100, high = 5000: must ascend, below half of 8000 Hz"),
        (np.zeros(5), {"sample_rate": -1.0}, "sample_rate = -1.0: must be a positive number"),
        (np.zeros(5), {"sample_rate": 8000, "compression": 0}, "compression = 0: must lie above 0"),
        (np.zeros(5), {"sample_rate": 8000, "floor": 1}, r"floor = 1: must lie in \[0, 1\)"),
        ("missing.wav", {}, "missing.wav: no such file"),
    ],
)
def test_bad_input(given, options, message):
    with pytest.raises(InputError, match=message):
        sn.cochlea(given, **options)


def test_no_wav_file(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"RIFF0000WAVEno sound")
    with pytest.raises(InputError, match=r"a\.wav: cannot be read as a WAV file"):
        sn.cochlea(tmp_path / "a.wav")
    buffer = io.BytesIO()
    wav_bytes = np.int16([])
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1), file.setsampwidth(2), file.setframerate(8000)
        file.writeframes(wav_bytes.tobytes())
    with pytest.raises(InputError, match=r"has no samples|cannot be read"):
        c.read_wav(buffer.getvalue(), "here")
