"""Trials by label and outcome, and which trials of two recordings belong together."""

import numpy as np

from snnsim.recording.layout import UNKNOWN

OUTCOMES = ("all", "correct", "wrong", "no prediction", "silent output")


def matching(trials, label=None, outcome="all", first=0):
    """Numbers of the trials that a filter lets through.

    Parameters
    ----------
    trials : numpy.recarray
        Of `Traces.trials`.
    label : int, optional
    outcome : str
        One of ``OUTCOMES``.
    first : int
        Trials before it are left out.

    Returns
    -------
    ndarray, int64
        Ascending.
    """
    known = (trials.label != UNKNOWN) & (trials.prediction != UNKNOWN)
    kept = {
        "all": np.ones(len(trials), bool),
        "correct": known & (trials.label == trials.prediction),
        "wrong": known & (trials.label != trials.prediction),
        "no prediction": trials.prediction == UNKNOWN,
        "silent output": np.isnan(trials.first_spike),
    }[outcome]
    if label is not None:
        kept = kept & (trials.label == label)
    found = np.flatnonzero(kept)
    return found[found >= first]


def partner(trials, others, trial):
    """Trial of another recording that shows the same sample: the first of its number, else the one of the same number.

    Parameters
    ----------
    trials, others : numpy.recarray
    trial : int
        Of ``trials``.

    Returns
    -------
    int or None
        None where the other recording has no such trial.
    """
    sample = trials.sample_index[trial]
    if sample != UNKNOWN:
        same = np.flatnonzero((others.sample_index == sample) & (others.split == trials.split[trial]))
        if trial in same:
            return trial
        if same.size:
            return int(same[0])
        if (others.sample_index != UNKNOWN).any():
            return None
    return trial if trial < len(others) else None


def described(trial, number, units):
    """One line about a trial: number, label, prediction, first output spike in the shown unit."""
    parts = [f"trial {number}"]
    if trial.label != UNKNOWN:
        parts.append(f"label {trial.label}")
    if trial.prediction != UNKNOWN:
        verdict = "" if trial.label == UNKNOWN else " (right)" if trial.label == trial.prediction else " (wrong)"
        parts.append(f"predicted {trial.prediction}{verdict}")
    if trial.first_spike == trial.first_spike:
        parts.append(f"first output spike at {trial.first_spike * units.of_ms:g} {units.time}".rstrip())
    return ", ".join(parts)
