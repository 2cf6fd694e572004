"""Networks as NIR graphs (Neuromorphic Intermediate Representation, Pedersen et al. 2024), in both directions.

NIR's CubaLIF is ``tau_syn dI/dt = -I + w_in S``, ``tau_mem dv/dt = (v_leak - v) + R I``, and our neuron is the same
with ``w_in = 1``, if S is a train of Dirac impulses: I then jumps by ``w_in w/tau_syn``. What S means, and in which
unit the time constants are, NIR leaves to the tools:

- ``dirac``: impulses of unit area in the file's unit of time, as the equations read.
- ``per-step``: S is 1 during the step of a spike, so that I rises by about ``w_in w dt/tau_syn`` (snnTorch, Norse's box
  neurons, Sinabs).
- ``jump``: I rises by ``w_in w`` (Norse's LIFCell).

With u our units of time (ms) in one of the file, and the same jump of I on both sides: ``tau = u tau_file``, and our
weight is ``w_in w`` times ``u``, ``dt``, ``tau_syn`` in turn. Membranes without synapse (LIF, LI, IF, I) jump by
``R w/tau`` times ``u`` or ``dt``; there ``jump`` is ``per-step``.

Tools that step with decays ``1 - dt/tau`` compute ``I_k = a I_{k-1} + j x_k``, ``v_k = b v_{k-1} + g I_k``. These are
the steps of our backward Euler with time constants smaller by dt (``matched steps``), since ``1/(1 + dt/tau)`` is
``1 - dt/(tau + dt)``. The exact scheme and forward Euler make the same steps with I_{k-1} in place of I_k: their spikes
come one step later in every layer. The bilinear scheme has no such form.
"""

from snnsim.interchange.nir.files import export_nir, import_nir
from snnsim.interchange.nir.neurons import SNNTORCH_STEP
from snnsim.interchange.nir.read import Imported, from_nir
from snnsim.interchange.nir.write import DIALECTS, to_nir

__all__ = ["DIALECTS", "SNNTORCH_STEP", "Imported", "export_nir", "from_nir", "import_nir", "to_nir"]
