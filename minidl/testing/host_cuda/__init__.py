"""The GPU's kernels on the CPU: `.cu` files compiled by g++ behind a small shim (`host.h`).

`HostCuda` takes the place of the GPU, so that everything that is not speed can be tested without
one: every kernel, the waist, training, recorded steps. Its arrays are as strict as CuPy's: NumPy
may not touch them. Its memory is the host's, which the address sanitizer watches where it is on.
"""

from .array import HostArray
from .device import HostCuda, emulated

__all__ = ["HostArray", "HostCuda", "emulated"]
