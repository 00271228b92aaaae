"""How much memory this process has used at most."""

from __future__ import annotations

import sys
from pathlib import Path


def peak_rss_mb() -> float:
    """Return the largest resident memory of this process so far, in 10**6 bytes.

    >>> 1 < peak_rss_mb() < 1e6
    True
    """
    ask = {"win32": _peak_windows, "linux": _peak_linux}.get(sys.platform, _peak_posix)
    return ask() / 1e6


def _peak_linux() -> int:
    """Read VmHWM; ru_maxrss would begin at the peak of the process that started this one."""
    for line in Path("/proc/self/status").read_text("ascii", "replace").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024  # KiB
    return _peak_posix() * 1024


def _peak_posix() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


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
