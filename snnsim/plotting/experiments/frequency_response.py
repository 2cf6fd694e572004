"""Gain and phase, aliasing and warping."""

import numpy as np

from snnsim.plotting.style import (
    BLACK,
    SCHEME_COLOURS,
    WIDE,
    headed,
    legend_below,
    legend_in,
    new_figure,
    scheme_line,
    step_colours,
    titled,
)

CAPTIONS = {
    "response": "Gain and phase of one neuron as a filter, per scheme and step size, beside continuous time: lines "
    "are transfer functions, markers the clock's kernel driven by sinusoids and by Poisson trains.",
    "aliasing-and-warping": "Share of the response that the exact scheme folds down from beyond the Nyquist "
    "frequency, and the frequency at which the bilinear scheme has the gain of continuous time (markers: "
    "measured), per step size.",
}


def figures(results):
    """Draw ``response`` and ``aliasing-and-warping`` from the results of the experiment ``frequency-response``."""
    return {"response": _response(results), "aliasing-and-warping": _aliasing(results)}


def _response(results):
    theory = results["theory"]
    omega, dts = theory["omega"], theory["dt"]
    figure, axes = new_figure(min(WIDE, 3.3 * len(dts)), 5.6, 2, len(dts), sharex="col", sharey="row")
    for d, dt in enumerate(dts):
        gain, phase = axes[:, d]
        limit = np.pi / dt
        show = omega <= limit * 1.3
        gain.loglog(
            omega[show], np.abs(theory["continuous"][show]), color=BLACK, lw=2.4, alpha=0.35, label="continuous H"
        )
        phase.semilogx(omega[show], _degrees(theory["continuous"][show]), color=BLACK, lw=2.4, alpha=0.35)
        for s, scheme in enumerate(theory["schemes"]):
            h = theory["discrete"][d, s]
            inside = np.isfinite(h)
            scheme_line(gain, scheme, omega[inside], np.abs(h[inside]), marker="")
            scheme_line(phase, scheme, omega[inside], _degrees(h[inside]), marker="")
            dots = {"linestyle": "", "label": None}
            probe, measured = results["sinusoid"]["omega"][d, s], results["sinusoid"]["response"][d, s]
            scheme_line(gain, scheme, probe, np.abs(measured), **dots)
            scheme_line(phase, scheme, probe, _degrees(measured), **dots)
            noise, found = results["poisson"]["omega"][d, s], results["poisson"]["response"][d, s]
            pick = np.unique(np.geomspace(3, noise.size - 1, 24).astype(int))
            style = {"marker": ".", "ms": 3, "ls": "", "color": SCHEME_COLOURS[scheme], "alpha": 0.6}
            gain.plot(noise[pick], np.abs(found[pick]), **style)
            phase.plot(noise[pick], _degrees(found)[pick], **style)
        for axis in (gain, phase):
            axis.axvline(limit, color=BLACK, lw=0.8, ls=":")
        gain.text(
            limit, 0.98, "Nyquist ", rotation=90, ha="right", va="top", fontsize=7, transform=gain.get_xaxis_transform()
        )
        titled(gain, f"dt = {dt:g}")
        phase.set_xlabel("angular frequency Ω (rad per unit of time)")
    axes[0, 0].set_ylabel("gain |v/x|")
    axes[1, 0].set_ylabel("phase (degrees)")
    # The zero of the bilinear scheme at Nyquist would else set the scale.
    axes[0, 0].set_ylim(0.3 * np.abs(theory["continuous"]).min(), 2 * np.abs(theory["continuous"]).max())
    headed(figure, "Lines: theory. Markers: clock kernel driven by sinusoids; dots: by Poisson trains.")
    legend_below(figure, axes[0, 0])
    return figure


def _degrees(response):
    return np.degrees(np.unwrap(np.angle(response)))


def _aliasing(results):
    theory = results["theory"]
    omega, dts = theory["omega"], theory["dt"]
    figure, axes = new_figure(9.0, 3.6, 1, 2)
    left, right = axes[0]
    for dt, colour, folded in zip(dts, step_colours(len(dts)), theory["aliasing"], strict=True):
        left.loglog(omega, 100 * folded, color=colour, label=f"dt = {dt:g}")
    left.set_xlabel("angular frequency Ω")
    left.set_ylabel("folded onto the response (%)")
    titled(left, "Aliasing of impulse invariance (exact scheme)")
    legend_in(left)
    grid = np.linspace(0, 8, 400)
    right.plot(grid, 2 * np.arctan(grid / 2), color=BLACK, label="ω = 2 arctan(Ω dt/2)")
    right.plot([0, np.pi], [0, np.pi], color=BLACK, lw=0.8, ls=":", label="no warping")
    for d, (dt, colour) in enumerate(zip(dts, step_colours(len(dts)), strict=True)):
        probe, apparent = results["warping"]["probe"][d], results["warping"]["apparent"][d]
        right.plot(apparent * dt, probe * dt, "s", color=colour, ms=4, label=f"measured, dt = {dt:g}")
    right.set_xlim(0, 8)
    right.set_xlabel("Ω dt of the continuous neuron")
    right.set_ylabel("ω of the bilinear scheme (rad per step)")
    titled(right, "Warping of the bilinear scheme")
    legend_in(right)
    return figure
