"""The Free Spoken Digit Dataset as spikes, in the layout of the Heidelberg data sets.

Z. Jackson and others, github.com/Jakobovski/free-spoken-digit-dataset (Creative Commons Attribution-ShareAlike 4.0):
recordings ``DIGIT_SPEAKER_NUMBER.wav``; numbers 0 to 4 of every digit and speaker are the test set, as its authors
define it.
"""

import re
from pathlib import Path

import numpy as np

from snnsim.errors import InputError
from snnsim.hearing import cochlea
from snnsim.recording.events import write_events

CHANNELS = 128
TEST_NUMBERS = range(5)
_NAME = re.compile(r"(\d)_([a-z]+)_(\d+)\.wav")


def write_spoken_digits(recordings, folder, on_sound=None):
    """Turn a folder of recordings into ``spoken-digits-train.h5`` and ``spoken-digits-test.h5``.

    Parameters
    ----------
    recordings : str or Path
        Folder with the WAV files.
    folder : str or Path
        Must exist; files are replaced atomically.
    on_sound : callable, optional
        Called as ``on_sound(done, all)``.

    Returns
    -------
    dict of str to int
        Samples of each file.

    Raises
    ------
    InputError
        If a file has another name, is no sound, or a split has no samples.
    """
    recordings, folder = Path(recordings), Path(folder)
    found = []
    for path in sorted(recordings.glob("*.wav")):
        known = _NAME.fullmatch(path.name)
        if known is None:
            raise InputError(f"{path}: must be named DIGIT_SPEAKER_NUMBER.wav, such as 7_jackson_32.wav")
        found.append((int(known[1]), known[2], int(known[3]), path))
    speakers = sorted({speaker for _, speaker, _, _ in found})
    halves = {"test": [], "train": []}
    for one in found:
        halves["test" if one[2] in TEST_NUMBERS else "train"].append(one)
    counts, done = {}, 0
    for half, chosen in halves.items():
        if not chosen:
            raise InputError(f"{recordings}: has no {half} recordings, DIGIT_SPEAKER_NUMBER.wav")
        trials, duration = [], 0.0
        for digit, _, _, path in chosen:
            spikes = cochlea(path, channels=CHANNELS)
            times, neurons = spikes.trial(0)
            trials.append((times / 1000, neurons, digit))
            duration = max(duration, spikes.duration / 1000)
            done += 1
            if on_sound is not None:
                on_sound(done, len(found))
        extra = {
            "speaker": np.array([speakers.index(f[1]) for f in chosen], np.uint16),
            "keys": np.array([str(d) for d in range(10)], "S"), "meta_info/speaker_name": np.array(speakers, "S"),
        }  # fmt: skip
        counts[half] = write_events(folder / f"spoken-digits-{half}.h5", trials, CHANNELS, duration, extra)
    return counts
