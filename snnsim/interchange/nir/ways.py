"""A way from neurons to neurons through linear nodes of NIR: pool, then convolution or matrix, and delays."""

import numpy as np

from snnsim.connections import Pool
from snnsim.connections.convolution import Convolution, from_nir_kernel
from snnsim.connections.maps import as_map, size_of
from snnsim.errors import InputError

KINDS = ("Linear", "Affine", "Scale", "Flatten", "Conv1d", "Conv2d", "SumPool2d", "AvgPool2d", "Delay")
"""Linear nodes of NIR that we have."""


class Way:
    """One connection.

    Parameters
    ----------
    source, target : str
        Nodes.
    shape : tuple of int or None
        Of the source, channels first; None where the graph does not say.
    nodes : list of (str, node)
        Linear nodes on the way.
    origin : str
        Begins every message.

    Attributes
    ----------
    kind : {"one", "dense", "convolution"}
    source_shape, shape : tuple of int or None
        At its ends, channels first.
    pool : Pool or None
    scale : float or ndarray
        Factor of each neuron, if it is one to one.
    kernel : ndarray
        As a :class:`~snnsim.connections.Convolution` takes it.
    stride, padding : tuple of int
    bias : float or ndarray, (N,)
        Constant input, in the order of our neurons.
    """

    def __init__(self, source, target, shape, nodes, origin):
        self.source, self.target, self.origin = source, target, origin
        self.source_shape = self.shape = shape
        self.kind, self.pool, self.scale, self.bias = "one", None, 1.0, 0.0
        self._matrix, self._flat = None, False
        self._before, self._behind = 0.0, 0.0
        for name, node in nodes:
            getattr(self, f"_{type(node).__name__.lower()}")(f"{origin}: node {name!r} ({type(node).__name__})", node)
        if self.kind == "one" and self.pool is not None:
            self._pool_alone(f"{origin}: node {nodes[-1][0]!r}")

    def reach(self, shape):
        """Put what leads to neurons of a shape into the order of ours, where a matrix gives that of the file."""
        if self.kind != "dense" or len(shape) < 2:
            return
        order = channels_first(shape)
        matrix = np.empty_like(self._matrix)
        matrix[order] = self._matrix
        self._matrix = matrix
        for name in ("bias", "_behind"):
            value = getattr(self, name)
            if np.ndim(value):
                ours = np.empty_like(value)
                ours[order] = value
                setattr(self, name, ours)

    @property
    def delayed(self):
        """Whether a spike needs time."""
        return bool(np.any(np.asarray(self._before) > 0) or np.any(np.asarray(self._behind) > 0))

    def delay(self, unit):
        """Delay as a connection takes it, in ms."""
        if np.ndim(self._behind) == 0 and np.ndim(self._before) == 0:
            return float(self._before + self._behind) * unit
        if np.ndim(self._behind) == 0:
            return (self._before + self._behind) * unit
        if self.kind != "dense" or self.pool is not None:
            raise InputError(f"{self.origin}: node {self.target!r}: delays that differ behind {self.kind} synapses")
        rows = np.broadcast_to(np.asarray(self._before, float), len(self._matrix.T))
        return (rows[:, None] + self._behind) * unit

    def weights(self):
        """Weights (N_source, N_target), of pooled neurons where there is a pool, of a dense or one-to-one way."""
        if self.kind == "one":
            size = int(np.prod(self.shape))
            return np.diag(np.broadcast_to(np.asarray(self.scale, float), size))
        return self._matrix.T

    def _finite(self, where, value, ndim, what="weight"):
        value = np.asarray(value)
        if value.ndim != ndim or value.dtype.kind != "f" or not np.isfinite(value).all():
            raise InputError(f"{where}: {what} must be a finite {ndim}-d array of floats")
        return value

    def _add_bias(self, where, bias, spread=None):
        bias = np.asarray(bias, float)
        if not np.isfinite(bias).all():
            raise InputError(f"{where}: bias must be finite numbers")
        self.bias = bias if spread is None else np.tile(bias, spread)

    def _linear(self, where, node):
        if self.kind == "convolution":
            raise InputError(f"{where}: follows a convolution without neurons between")
        step = self._finite(where, node.weight, 2)
        size = None if self.shape is None else int(np.prod(self.shape))
        if size is not None and step.shape[1] != size:
            raise InputError(f"{where}: takes {step.shape[1]} inputs, but gets {size}")
        self._delay_in_front()
        if self.kind == "one":
            if self.shape is None:
                self.shape = self.source_shape = (step.shape[1],)
            # The file counts channels first, we count them last.
            order = channels_first(self.shape)
            matrix = np.empty_like(step)
            matrix[:, order] = step
            # A matrix without entries that could differ keeps its bits.
            self._matrix = matrix if np.all(np.asarray(self.scale) == 1) else matrix * self._spread_scale(order)
        else:
            self._matrix = step @ self._matrix
            self.bias = step @ self.bias if np.any(self.bias) else 0.0
        self.kind, self.shape = "dense", (step.shape[0],)

    def _affine(self, where, node):
        self._linear(where, node)
        more = np.asarray(node.bias, float)
        if np.any(more) or not np.isfinite(more).all():
            before = self.bias
            self._add_bias(where, np.broadcast_to(more, self.shape))
            self.bias = self.bias + before

    def _scale(self, where, node):
        scale = np.ravel(np.asarray(node.scale))
        if scale.dtype.kind not in "iuf" or not np.isfinite(scale).all():
            raise InputError(f"{where}: must be finite numbers")
        size = None if self.shape is None else int(np.prod(self.shape))
        if size is None and scale.size > 1:
            self.shape, size = (scale.size,), scale.size
            self.source_shape = self.shape
        if size is not None and scale.size not in (1, size):
            raise InputError(f"{where}: takes {scale.size} inputs, but gets {size}")
        scale = scale.astype(float) if scale.size > 1 else float(scale[0])
        self.bias = self.bias * scale
        if self.kind == "dense":
            self._matrix = self._matrix * (scale[:, None] if np.ndim(scale) else scale)
        elif self.kind == "convolution":
            if np.ndim(scale):
                raise InputError(f"{where}: scales a convolution's neurons one by one")
            self.kernel = self.kernel * scale
        else:
            ours = scale
            if np.ndim(scale):
                ours = np.empty_like(scale)
                ours[channels_first(self.shape)] = scale
            self.scale = self.scale * ours

    def _flatten(self, where, node):
        if self.kind == "convolution":
            raise InputError(f"{where}: follows a convolution without neurons between")
        if self.shape is None and node.input_type.get("input") is not None:
            self.shape = self.source_shape = tuple(int(n) for n in np.ravel(node.input_type["input"]))

    def _delay(self, where, node):
        delay = np.ravel(np.asarray(node.delay, float))
        if not (np.isfinite(delay).all() and (delay >= 0).all()):
            raise InputError(f"{where}: delays must be times of at least 0")
        size = None if self.shape is None else int(np.prod(self.shape))
        if delay.size > 1 and size not in (None, delay.size):
            raise InputError(f"{where}: takes {delay.size} inputs, but gets {size}")
        delay = float(delay[0]) if (delay == delay[0]).all() else delay
        if np.ndim(delay) and self.kind == "one":
            ours = np.empty_like(delay)
            self.shape = self.source_shape = self.shape or (delay.size,)
            ours[channels_first(self.shape)] = delay
            delay = ours
        if self.pool is not None and np.ndim(delay):
            raise InputError(f"{where}: delays that differ behind a pool")
        if self.kind == "one":
            self._before = self._before + delay
        else:
            self._behind = self._behind + delay

    def _delay_in_front(self):
        if self.kind == "dense" and np.ndim(self._behind):
            raise InputError(f"{self.origin}: node {self.target!r}: delays that differ between two matrices")

    def _sumpool2d(self, where, node):
        self._pooling(where, node, "sum")

    def _avgpool2d(self, where, node):
        self._pooling(where, node, "average")

    def _pooling(self, where, node, kind):
        if self.kind != "one" or self.pool is not None or np.ndim(self.scale):
            raise InputError(f"{where}: must come first behind neurons; a pool belongs to the connection behind it")
        size, stride, padding = (pair(getattr(node, key)) for key in ("kernel_size", "stride", "padding"))
        if size != stride or any(padding):
            raise InputError(
                f"{where}: kernel_size {size}, stride {stride}, padding {padding}: windows must lie side by side"
            )
        if self.shape is None or len(self.shape) != 3:
            raise InputError(f"{where}: must come behind neurons of shape (channels, height, width)")
        self.pool = Pool(size, kind)
        self.shape = self.pool.output(self.shape, where)

    def _spread_scale(self, order):
        return np.broadcast_to(np.asarray(self.scale, float), len(order))[None, :]

    def _conv1d(self, where, node):
        self._convolve(where, node, self._finite(where, node.weight, 3)[:, :, None, :])

    def _conv2d(self, where, node):
        self._convolve(where, node, self._finite(where, node.weight, 4))

    def _convolve(self, where, node, weight):
        if self.kind != "one" or np.ndim(self.scale):
            raise InputError(f"{where}: must come behind neurons, or behind a pool that follows them")
        if int(np.ravel(node.groups)[0]) != 1:
            raise InputError(f"{where}: groups = {int(np.ravel(node.groups)[0])}: snnsim has 1")
        if any(n != 1 for n in pair(node.dilation)):
            raise InputError(f"{where}: dilation = {pair(node.dilation)}: snnsim has 1")
        kernel, stride = weight.shape[2:], pair(node.stride)
        padding = self._padding(where, node.padding, kernel, stride)
        if self.shape is None:
            wide = node.input_shape
            if wide is None:
                raise InputError(f"{where}: the shape of its input is not given; snnsim needs it at an Input")
            self.shape = self.source_shape = (weight.shape[1], *(int(n) for n in np.ravel(wide)))
        out = Convolution(kernel, stride, padding).output(self.shape, weight.shape[0], where)
        self._check_channels(where, weight)
        self.kernel = from_nir_kernel(weight) * np.asarray(self.scale)
        self.stride, self.padding, self.kind, self.shape = stride, padding, "convolution", out
        if np.any(node.bias):
            self._add_bias(where, node.bias, int(np.prod(out[1:])))

    def _check_channels(self, where, weight):
        channels = as_map(self.shape)[0] if len(self.shape) > 1 else 1
        if weight.shape[1] != channels:
            raise InputError(f"{where}: takes {weight.shape[1]} channels, but gets {channels}")

    def _padding(self, where, padding, kernel, stride):
        text = padding.decode() if isinstance(padding, bytes) else padding
        if not isinstance(text, str):
            return pair(padding)
        if text == "valid":
            return (0, 0)
        if any(n % 2 == 0 for n in kernel) or any(n != 1 for n in stride):
            raise InputError(f"{where}: padding = 'same' with an even kernel or a stride; give it as numbers")
        return tuple((n - 1) // 2 for n in kernel)

    def _pool_alone(self, where):
        """Let a pool without weights behind it be a convolution of one pixel."""
        channels = as_map(self.shape)[0]
        self.kernel = np.eye(channels)[:, None, None, :] * self.scale
        self.stride, self.padding, self.kind = (1, 1), (0, 0), "convolution"


def channels_first(shape):
    """Our number of each neuron in the order of a file: channels, then rows, then columns."""
    if shape is None or len(shape) < 2:
        return np.arange(size_of(shape or ()))
    channels, height, width = as_map(shape)
    return np.arange(height * width * channels).reshape(height, width, channels).transpose(2, 0, 1).ravel()


def pair(value):
    """Two whole numbers of one or two."""
    values = [int(n) for n in np.ravel(np.asarray(value))]
    return (values[0], values[0]) if len(values) == 1 else tuple(values[:2])
