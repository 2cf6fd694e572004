"""Statistics of spike trains in one pass over a recording: rates, intervals, counts, correlations, spectra.

Standard errors are of two kinds. A mean over neurons has that of its neurons, ``std/sqrt(n)``. What is measured over
time (correlations, synchrony, spectra, covariances) has that of the jackknife: the recording is cut into at most 20
blocks of time, and each is left out once.
"""

import numpy as np

from snnsim.errors import InputError
from snnsim.kernels.longrun.intervals import add_intervals
from snnsim.recording.units import units_of

BLOCKS = 20
SEED = 20


def statistics_of(traces, layers=None, *, bin_width=1.0, window=100.0, segment=1000.0, lag=100.0, correlated=200,
                  synchrony_bin=3.0, longest=500.0, skip=0.0, progress=None):  # fmt: skip
    """Statistics of the spikes of populations.

    Parameters
    ----------
    traces : Traces
        A long run, whose pieces follow one another, or trials.
    layers : sequence of str, optional
        Populations; all recorded ones with spikes if None.
    bin_width : float
        Of rates, covariances and intervals, in network units.
    window : float
        Of the counts whose Fano factor and pairwise correlation are taken.
    segment : float
        Length of a stretch for spectra and covariances, rounded to whole pieces of the recording.
    lag : float
        Longest lag of covariances.
    correlated : int
        Neurons of a population among which pairwise correlations are taken, drawn at random once and for all.
    synchrony_bin : float
        Of the counts of the whole population whose variance over their mean is the synchrony.
    longest : float
        Longest interval of the interval density.
    skip : float
        Time at the start of a long run that is left out, rounded up to whole pieces.
    progress : callable, optional
        Called after each segment with the share that is done.

    Returns
    -------
    dict
        ``populations`` by name and ``covariances`` by ``A|B``; see docs/statistics.md.

    Raises
    ------
    InputError
        If spikes were not recorded, or lengths do not fit into the recording.
    """
    names = _checked(traces, layers)
    length, count = traces.info["duration"], len(traces)
    continuous = bool(traces.info.get("continuous", False))
    first = min(count, int(np.ceil(skip / length - 1e-9))) if continuous else 0
    group = max(1, round(segment / length)) if continuous else 1
    group = min(group, count - first)
    if count - first < 1:
        raise InputError(f"skip = {skip:g}: leaves nothing of a recording of {count * length:g}")
    bins = _whole(group * length, bin_width, "bin_width")
    for name, value in (("window", window), ("synchrony_bin", synchrony_bin)):
        if not bin_width * (1 - 1e-9) <= value <= group * length * (1 + 1e-9):
            raise InputError(f"{name} = {value:g}: must lie between bin_width = {bin_width:g} and {group * length:g}")
        _whole(value, bin_width, name)
    if not 0 <= lag < group * length:
        raise InputError(f"lag = {lag:g}: must lie below a segment of {group * length:g}")
    if not longest >= bin_width:
        raise InputError(f"longest = {longest:g}: must be at least bin_width = {bin_width:g}")
    setup = _Setup(
        bins, bin_width, group * length, round(window / bin_width), round(synchrony_bin / bin_width),
        round(lag / bin_width), max(1, round(longest / bin_width)), (count - first) // group,
    )  # fmt: skip
    parts = {name: _Population(traces.populations[name], setup, correlated) for name in names}
    pairs = {(a, b): np.zeros((setup.blocks, 2 * setup.lags + 1)) for k, a in enumerate(names) for b in names[k + 1 :]}
    for s, start in enumerate(range(first, count, group)):
        chosen = slice(start, min(start + group, count))
        whole = start + group <= count
        spectra = {}
        for name in names:
            spikes = traces.spikes(name, chosen)
            offset = np.repeat(np.arange(len(spikes)), np.diff(spikes.offsets)) * length
            part = parts[name]
            part.add_trains(
                spikes.times + offset + (s * group * length if continuous else 0.0), spikes.neurons, continuous
            )
            if whole:
                spectra[name] = part.add_segment(spikes.times + offset, spikes.neurons, setup.block_of(s))
        if whole:
            for (a, b), sums in pairs.items():
                sums[setup.block_of(s)] += setup.products(spectra[a], spectra[b])
        if progress is not None:
            progress((start + group - first) / (count - first))
    total = (count - first) * length
    unit = 1000 / units_of(traces.info).per  # without a unit of time, rates count spikes per unit time
    populations = {name: part.result(total, unit) for name, part in parts.items()}
    covariances = {
        f"{a}|{b}": setup.covariance(sums, parts[a].totals, parts[b].totals) for (a, b), sums in pairs.items()
    }
    return {
        "populations": populations, "covariances": covariances, "duration": total,
        "time_unit": traces.info["time_unit"], "time_unit_ms": traces.info["time_unit_ms"], "bin_width": bin_width,
        "window": window, "segment": group * length, "segments": setup.segments, "continuous": continuous,
    }  # fmt: skip


def _checked(traces, layers):
    if "spikes" not in traces.info["record"]:
        raise InputError(f"{traces.directory}: holds no spikes, only {', '.join(traces.info['record'])}")
    spiking = [name for name, p in traces.populations.items() if p.recorded and p.spiking]
    names = spiking if layers is None else [layers] if isinstance(layers, str) else list(layers)
    for name in names:
        if name not in spiking:
            raise InputError(f"layer {name!r}: must be one of {', '.join(spiking)}, which have recorded spikes")
    if len(traces) == 0:
        raise InputError(f"{traces.directory}: holds no complete trial")
    return names


def _whole(length, part, name):
    ratio = length / part
    if round(ratio) < 1 or abs(ratio - round(ratio)) > 1e-6 * ratio:
        raise InputError(f"{name}: {length:g} must be a whole number of {part:g}, the width of a bin")
    return round(ratio)


def jackknife(per_block, statistic):
    """Statistic of sums over blocks, and its standard error by leaving each block out once.

    Parameters
    ----------
    per_block : tuple of ndarray, (K, ...)
        Sums of each block.
    statistic : callable
        Takes as many sums.

    Returns
    -------
    value, error : ndarray
        NaN where fewer than two blocks are.
    """
    sums = [p.sum(0) for p in per_block]
    value, count = np.asarray(statistic(*sums)), len(per_block[0])
    if count < 2:
        return value, np.full(value.shape, np.nan)
    left = np.array([statistic(*(s - p[k] for s, p in zip(sums, per_block, strict=True))) for k in range(count)])
    return value, np.sqrt((count - 1) / count * ((left - left.mean(0)) ** 2).sum(0))


class _Setup:
    """Sizes that all populations share."""

    def __init__(self, bins, bin_width, length, window, synchrony, lags, longest, segments):
        self.bins, self.width, self.length = bins, bin_width, length
        self.window, self.synchrony, self.lags, self.longest = window, synchrony, lags, longest
        self.segments, self.blocks = segments, min(BLOCKS, segments)
        self.padded = 2 ** int(np.ceil(np.log2(bins + lags + 1)))

    def block_of(self, segment):
        return segment * self.blocks // self.segments

    def products(self, a, b):
        """Sum ``a(t) b(t + lag)`` within a segment for lags -L..L, from padded spectra."""
        both = np.fft.irfft(np.conj(a) * b, self.padded)
        return np.concatenate([both[self.padded - self.lags :], both[: self.lags + 1]]) if self.lags else both[:1]

    def covariance(self, sums, totals_a, totals_b):
        """Covariance of two rates at each lag, of counts a bin over its width squared, and standard errors."""
        lags = np.arange(-self.lags, self.lags + 1)
        per_block = np.bincount([self.block_of(s) for s in range(self.segments)], minlength=self.blocks).astype(float)

        def estimate(products, a, b, segments):
            mean = (a / (segments * self.bins)) * (b / (segments * self.bins))
            return (products / (segments * (self.bins - np.abs(lags))) - mean) / self.width**2

        value, error = jackknife((sums, totals_a, totals_b, per_block), estimate)
        return {"lag": lags * self.width, "value": value, "error": error}


class _Population:
    """What is summed of one population."""

    def __init__(self, population, setup, correlated):
        n = population.n_neurons
        self.setup, self.n, self.ids = setup, n, population.neuron_ids
        self._last, self._before = np.full(n, np.nan), np.full(n, np.nan)
        self._sums, self._counts = np.zeros((3, n)), np.zeros((2, n), np.int64)
        self._histogram, self._spikes = np.zeros(setup.longest + 1, np.int64), np.zeros(n, np.int64)
        rng = np.random.default_rng(SEED)
        m = min(correlated, self.ids.size)
        self._chosen = np.sort(rng.choice(self.ids, m, replace=False))
        self._place = np.full(n, -1)
        self._place[self._chosen] = np.arange(m)
        k = setup.blocks
        self.totals = np.zeros(k)
        self._windows, self._counted = np.zeros((2, n)), 0
        self._gram, self._sum, self._number = np.zeros((k, m, m)), np.zeros((k, m)), np.zeros(k)
        self._sync = np.zeros((3, k))
        self._power = np.zeros((k, setup.bins // 2 + 1))
        self._products = np.zeros((k, 2 * setup.lags + 1))
        self._own, self._others = np.zeros((k, 2 * setup.lags + 1)), np.zeros((k, 2 * setup.lags + 1))
        self._taper = np.hanning(setup.bins + 1)[:-1]

    def add_trains(self, times, neurons, continuous):
        """Intervals and numbers of spikes."""
        s = self.setup
        self._spikes += np.bincount(neurons, minlength=self.n)
        if not continuous:
            self._last[:], self._before[:] = np.nan, np.nan
        add_intervals(
            times,
            neurons.astype(np.int32),
            self._last,
            self._before,
            self._sums,
            self._counts,
            self._histogram,
            s.width,
        )

    def add_segment(self, times, neurons, block):
        """Count the spikes of a segment; returns the padded spectrum of the population's."""
        s = self.setup
        # A spike of a clock lies at the end of its step, which belongs to the bin that the step is in.
        at = np.ceil(times / s.width * (1 - 1e-12) - 1e-9).astype(np.int64) - 1
        at = np.clip(at, 0, s.bins - 1)
        series = np.bincount(at, minlength=s.bins).astype(float)
        self.totals[block] += series.sum()
        full = s.bins // s.window
        inside = at < full * s.window
        cells = (at[inside] // s.window) * self.n + neurons[inside]
        windows = np.bincount(cells, minlength=full * self.n).reshape(full, self.n).astype(float)
        self._windows += windows.sum(0), (windows**2).sum(0)
        self._counted += full
        counts = windows[:, self._chosen]
        self._gram[block] += counts.T @ counts
        self._sum[block] += counts.sum(0)
        self._number[block] += full
        pooled = series[: s.bins // s.synchrony * s.synchrony].reshape(-1, s.synchrony).sum(1)
        self._sync[:, block] += pooled.size, pooled.sum(), (pooled**2).sum()
        self._power[block] += np.abs(np.fft.rfft((series - series.mean()) * self._taper)) ** 2
        spectrum = np.fft.rfft(series, s.padded)
        self._products[block] += s.products(spectrum, spectrum)
        mine = self._place[neurons] >= 0
        m = self._chosen.size
        trains = np.bincount(self._place[neurons[mine]] * s.bins + at[mine], minlength=m * s.bins).reshape(m, s.bins)
        each = np.fft.rfft(trains.astype(float), s.padded, axis=1)
        own = sum(s.products(x, x) for x in each)
        self._own[block] += own
        together = each.sum(0)
        self._others[block] += s.products(together, together) - own
        return spectrum

    def result(self, total, unit):
        """Statistics of all that was added."""
        s, ids = self.setup, self.ids
        n_intervals, n_pairs = self._counts[:, ids]
        with np.errstate(divide="ignore", invalid="ignore"):
            mean = self._sums[0, ids] / n_intervals
            cv = np.sqrt(np.maximum(self._sums[1, ids] / n_intervals - mean**2, 0)) / mean
            cv[n_intervals < 2] = np.nan
            lv = 3 * self._sums[2, ids] / n_pairs
            counts = self._windows[0, ids] / self._counted
            variance = (self._windows[1, ids] - self._counted * counts**2) / max(self._counted - 1, 1)
            fano = variance / counts
        found = {
            "neurons": ids.size, "spikes": int(self._spikes[ids].sum()),
            "rate": _over_neurons(self._spikes[ids] / total * 1000 / unit),
            "mean_interval": _over_neurons(mean), "cv": _over_neurons(cv), "lv": _over_neurons(lv),
            "fano": _over_neurons(fano), "intervals": self._intervals(),
        }  # fmt: skip
        found["correlation"] = self._correlation()
        found["synchrony"] = dict(zip(("value", "error"), jackknife(tuple(self._sync), _dispersion), strict=True))
        found["spectrum"] = self._spectrum()
        found["autocovariance"] = s.covariance(self._products, self.totals, self.totals)
        m = self._chosen.size
        per_block = np.bincount([s.block_of(k) for k in range(s.segments)], minlength=s.blocks).astype(float)
        lags = np.arange(-s.lags, s.lags + 1)

        def each(products, squares, segments, number):
            return (
                (products / (segments * (s.bins - np.abs(lags))) - squares / (segments * s.bins) ** 2)
                / number
                / s.width**2
            )

        own, error = jackknife(
            (self._own, self._sum, per_block), lambda p, x, k: each(p, (self._trains(x) ** 2).sum(), k, max(m, 1))
        )
        found["train_autocovariance"] = {"lag": lags * s.width, "value": own, "error": error}
        if m > 1:
            others, error = jackknife(
                (self._others, self._sum, per_block),
                lambda p, x, k: each(p, self._trains(x).sum() ** 2 - (self._trains(x) ** 2).sum(), k, m * (m - 1)),
            )
            found["train_crosscovariance"] = {"lag": lags * s.width, "value": others, "error": error}
        found["stationarity"] = self._stationarity(unit)
        return found

    def _trains(self, window_sums):
        """Spikes of the chosen neurons in whole windows, taken for those of whole segments."""
        s = self.setup
        return window_sums * (s.bins / (s.bins // s.window * s.window))

    def _intervals(self):
        s = self.setup
        h = self._histogram
        total = h.sum()
        at_risk = total - np.concatenate([[0], np.cumsum(h)[:-1]])
        with np.errstate(divide="ignore", invalid="ignore"):
            density = h[:-1] / total / s.width
            survival = at_risk / total
            share = h / at_risk
            hazard = share / s.width
            hazard_error = np.sqrt(h * (1 - share)) / at_risk / s.width
            density_error = np.sqrt(h * (1 - h / total))[:-1] / total / s.width
            survival_error = np.sqrt(survival * (1 - survival) / total)
        return {
            "number": int(total), "time": np.arange(s.longest) * s.width, "density": density,
            "density_error": density_error, "survival": survival[:-1], "survival_error": survival_error[:-1],
            "hazard": hazard[:-1], "hazard_error": hazard_error[:-1],
        }  # fmt: skip

    def _correlation(self):
        def coefficients(gram, sums, number):
            covariance = gram / number - np.outer(sums, sums) / number**2
            spread = np.sqrt(np.diag(covariance))
            with np.errstate(divide="ignore", invalid="ignore"):
                return (covariance / np.outer(spread, spread))[np.triu_indices(len(sums), 1)]

        def mean(gram, sums, number):
            values = coefficients(gram, sums, number)
            values = values[np.isfinite(values)]
            return values.mean() if values.size else np.nan

        value, error = jackknife((self._gram, self._sum, self._number), mean)
        values = coefficients(self._gram.sum(0), self._sum.sum(0), self._number.sum())
        return {"mean": float(value), "error": float(error), "values": values[np.isfinite(values)],
                "neurons": self._chosen}  # fmt: skip

    def _spectrum(self):
        """One-sided power density of the population's rate, and standard errors over blocks."""
        s = self.setup
        scale = s.width / (self._taper**2).sum() / s.width**2
        sided = np.full(s.bins // 2 + 1, 2.0)
        sided[0] = 1.0
        if s.bins % 2 == 0:
            sided[-1] = 1.0
        per_block = np.bincount([s.block_of(k) for k in range(s.segments)], minlength=s.blocks).astype(float)
        value, error = jackknife((self._power, per_block), lambda p, k: p / k * scale * sided)
        return {"frequency": np.fft.rfftfreq(s.bins, s.width), "power": value, "error": error}

    def _stationarity(self, unit):
        """Rate of each block of time, and the slope of a line through them."""
        s = self.setup
        segments = np.bincount([s.block_of(k) for k in range(s.segments)], minlength=s.blocks)
        rates = self.totals / (segments * s.length * self.ids.size) * 1000 / unit
        middle = (np.cumsum(segments) - segments / 2) * s.length
        if s.blocks < 3:
            return {"time": middle, "rate": rates, "slope": np.nan, "error": np.nan, "p": np.nan}
        from scipy.stats import linregress

        line = linregress(middle, rates)
        return {"time": middle, "rate": rates, "slope": line.slope, "error": line.stderr, "p": line.pvalue}


def _dispersion(number, total, squares):
    mean = total / number
    return (squares / number - mean**2) / mean if mean > 0 else np.nan


def _over_neurons(values):
    good = values[np.isfinite(values)]
    error = good.std(ddof=1) / np.sqrt(good.size) if good.size > 1 else np.nan
    return {
        "mean": good.mean() if good.size else np.nan, "error": error, "number": good.size,
        "median": np.median(good) if good.size else np.nan, "values": values,
    }  # fmt: skip
