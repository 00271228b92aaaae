"""y = x on another device. The one op whose result does not lie where its input lies.

It is an op so that hooks see every copy and a recorded step repeats those of its inputs.
"""

from __future__ import annotations

import numpy as np

from ...backend import device as devices
from ...backend.arrays import HOST
from ...errors import ArgumentError
from ...spec import Spec
from ..registry import BadCall, Inferred, Sample, define, kernel_for

DEVICES = (HOST, "cuda")


def _infer(x: Spec, device: str = HOST, source: str = HOST) -> Inferred:
    for name in (device, source):
        if name not in DEVICES:
            raise ArgumentError("to", f"got device {name!r}",
                                f"expected {' or '.join(map(repr, DEVICES))}", "Name one of them.")
    return Inferred((x,), attrs={"device": device, "source": source})


@kernel_for("to")
def to(x: np.ndarray, *, out: np.ndarray, saved: dict, work: dict, device: str, source: str
       ) -> None:
    """Write x, which lies on another device, into out."""
    if source == HOST == device:
        np.copyto(out, x)
    elif source == device:
        from ..pointwise.cuda import copy
        copy(x, out=out, saved={}, work={}, dtype=None)
    elif source == HOST:
        devices.get(device).upload(x, out)
    else:
        np.copyto(out, devices.get(source).download(x))


define("to", inputs=("x",), infer=_infer, kernel=to, transfers=True,
       reference=lambda x, device=HOST, source=HOST: x,
       gradients={"x": lambda run, gy, device, source: run("to", gy, device=source)},
       samples=(Sample(((3, 4),)),),
       bad_calls=(BadCall(((3,),), {"device": "moon"}, "expected 'cpu' or 'cuda'"),))
