"""How much memory this process has used at most."""

from __future__ import annotations

import sys


def peak_rss_mb() -> float:
    """Return the largest resident memory of this process so far, in 10**6 bytes.

    >>> 1 < peak_rss_mb() < 1e6
    True
    """
    return _peak_windows() / 1e6 if sys.platform == "win32" else _peak_posix() / 1e6


def _peak_posix() -> int:
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts KiB


def _peak_windows() -> int:
    """Ask psapi's GetProcessMemoryInfo for PeakWorkingSetSize."""
    import ctypes
    from ctypes import wintypes

    class Counters(ctypes.Structure):
        _fields_ = (("cb", wintypes.DWORD), ("PageFaultCount", wintypes.DWORD),
                    ("PeakWorkingSetSize", ctypes.c_size_t), ("rest", ctypes.c_size_t * 7))

    counters = Counters()
    counters.cb = ctypes.sizeof(counters)
    kernel32 = ctypes.WinDLL("kernel32")  # type: ignore[attr-defined, unused-ignore]
    kernel32.GetCurrentProcess.restype = wintypes.HANDLE
    kernel32.K32GetProcessMemoryInfo.argtypes = (wintypes.HANDLE, ctypes.c_void_p, wintypes.DWORD)
    kernel32.K32GetProcessMemoryInfo(kernel32.GetCurrentProcess(), ctypes.byref(counters),
                                     counters.cb)
    return int(counters.PeakWorkingSetSize)
