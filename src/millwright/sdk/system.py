"""What the machine does while a run goes on, as metrics `system/…`.

Read from `/proc`; where there is none, from psutil if it is installed. GPUs are asked through
NVIDIA's library if its Python module `pynvml` is installed. What cannot be read is left out.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType

from millwright.core.clock import Clock

INTERVAL_S = 10.0
PREFIX = "system/"
PROC = Path("/proc")
_SECTOR_BYTES = 512
_LOOPBACK = "lo"


class SystemReader:
    """Reads the machine's and this process's use of it.

    Rates are over the time since the reading before, so that the first has none. `folder` says
    which disk is meant.
    """

    def __init__(self, folder: Path, clock: Clock, *, proc: Path = PROC) -> None:
        self._folder = folder
        self._clock = clock
        self._proc = proc
        self._before: dict[str, float] = {}
        self._before_s = 0.0
        self._psutil = None if (proc / "stat").is_file() else _found("psutil")
        self._gpus = _Gpus.find()

    def read(self) -> dict[str, float]:
        """Return the metrics of this moment, by name."""
        counts = self._counts()
        now_s = self._clock.monotonic_s()
        found = self._levels()
        if self._before:
            found |= rates(self._before, counts, now_s - self._before_s)
        self._before, self._before_s = counts, now_s
        if self._gpus is not None:
            found |= self._gpus.read()
        return {PREFIX + name: value for name, value in found.items()}

    def _counts(self) -> dict[str, float]:
        if self._psutil is not None:
            return _psutil_counts(self._psutil)
        counts: dict[str, float] = {}
        for name, parse in _COUNTERS.items():
            text = self._text(name)
            if text is not None:
                counts |= parse(text)
        return counts

    def _levels(self) -> dict[str, float]:
        found: dict[str, float] = {}
        if self._psutil is not None:
            memory = self._psutil.virtual_memory()
            found |= {
                "memory_used_bytes": float(memory.total - memory.available),
                "memory_percent": 100.0 * (1 - memory.available / memory.total),
                "process_memory_bytes": float(self._psutil.Process().memory_info().rss),
            }
        else:
            for name, parse in (("meminfo", memory_levels), ("self/statm", process_memory)):
                text = self._text(name)
                if text is not None:
                    found |= parse(text)
        try:
            disk = shutil.disk_usage(self._folder)
        except OSError:
            return found
        found["disk_used_percent"] = 100.0 * disk.used / max(disk.total, 1)
        return found

    def _text(self, name: str) -> str | None:
        try:
            return (self._proc / name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None


class Watch:
    """Reads at every interval in a thread of its own, and hands on what it read."""

    def __init__(
        self,
        reader: SystemReader,
        take: Callable[[dict[str, float], int], None],
        *,
        interval_s: float = INTERVAL_S,
    ) -> None:
        self._reader = reader
        self._take = take
        self._interval_s = interval_s
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="millwright-system", daemon=True)

    def start(self) -> None:
        """Begin; the first metrics come after one interval."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._over.set()

    def _work(self) -> None:
        self._reader.read()
        step = 0
        while not self._over.wait(self._interval_s):
            self._take(self._reader.read(), step)
            step += 1


def rates(before: dict[str, float], now: dict[str, float], seconds: float) -> dict[str, float]:
    """Return what two readings of the counters, `seconds` apart, say about the time between.

    >>> rates({"cpu_busy": 10, "cpu_all": 100}, {"cpu_busy": 60, "cpu_all": 200}, 1.0)
    {'cpu_percent': 50.0}
    """
    grown = {name: now[name] - before[name] for name in now if name in before}
    found: dict[str, float] = {}
    if (all_ticks := grown.pop("cpu_all", 0.0)) > 0:
        found["cpu_percent"] = 100.0 * grown.get("cpu_busy", 0.0) / all_ticks
    grown.pop("cpu_busy", None)
    if seconds <= 0:
        return found
    if "process_cpu_s" in grown:
        # Of one core: a process on two cores has 200 %.
        found["process_cpu_percent"] = 100.0 * grown.pop("process_cpu_s") / seconds
    return found | {f"{name}_per_s": value / seconds for name, value in grown.items()}


def cpu_counts(text: str) -> dict[str, float]:
    """Return the ticks of `/proc/stat`, busy and all."""
    fields = [float(field) for field in text.split("\n", 1)[0].split()[1:9]]
    if len(fields) < 5:
        return {}
    # Idle and waiting for a disk are the fourth and fifth.
    return {"cpu_busy": sum(fields) - fields[3] - fields[4], "cpu_all": sum(fields)}


def process_counts(text: str) -> dict[str, float]:
    """Return the processor seconds in `/proc/self/stat`: fields 14 and 15."""
    fields = text.rpartition(")")[2].split()
    ticks = os.sysconf("SC_CLK_TCK")
    return {"process_cpu_s": (float(fields[11]) + float(fields[12])) / ticks}


def network_counts(text: str) -> dict[str, float]:
    """Return the bytes in `/proc/net/dev`, the loopback left out."""
    received = sent = 0.0
    for line in text.splitlines()[2:]:
        name, _, rest = line.partition(":")
        fields = rest.split()
        if name.strip() != _LOOPBACK and len(fields) >= 9:
            received += float(fields[0])
            sent += float(fields[8])
    return {"network_received_bytes": received, "network_sent_bytes": sent}


def disk_counts(text: str) -> dict[str, float]:
    """Return the bytes in `/proc/diskstats`, where a disk stands before its partitions."""
    read = written = 0.0
    disks: list[str] = []
    for line in text.splitlines():
        fields = line.split()
        if len(fields) < 10 or fields[2].startswith(("loop", "ram", "dm-", "md")):
            continue
        if any(_is_partition(fields[2], disk) for disk in disks):
            continue
        disks.append(fields[2])
        read += float(fields[5]) * _SECTOR_BYTES
        written += float(fields[9]) * _SECTOR_BYTES
    return {"disk_read_bytes": read, "disk_written_bytes": written}


def _is_partition(name: str, disk: str) -> bool:
    return name.startswith(disk) and name.removeprefix(disk).lstrip("p").isdecimal()


def memory_levels(text: str) -> dict[str, float]:
    """Return what `/proc/meminfo` says: used is what is not available."""
    sizes = {line.partition(":")[0]: line.split()[1] for line in text.splitlines() if ":" in line}
    total, free = float(sizes.get("MemTotal", 0)), float(sizes.get("MemAvailable", 0))
    if not total:
        return {}
    return {
        "memory_used_bytes": (total - free) * 1024,
        "memory_percent": 100.0 * (total - free) / total,
    }


def process_memory(text: str) -> dict[str, float]:
    """Return the resident size in `/proc/self/statm`."""
    return {"process_memory_bytes": float(text.split()[1]) * os.sysconf("SC_PAGE_SIZE")}


_COUNTERS: dict[str, Callable[[str], dict[str, float]]] = {
    "stat": cpu_counts,
    "self/stat": process_counts,
    "net/dev": network_counts,
    "diskstats": disk_counts,
}


class _Gpus:
    """The NVIDIA devices of this machine."""

    def __init__(self, nvml: ModuleType) -> None:
        self._nvml = nvml
        nvml.nvmlInit()
        count = int(nvml.nvmlDeviceGetCount())
        self._devices: list[object] = [nvml.nvmlDeviceGetHandleByIndex(at) for at in range(count)]

    @classmethod
    def find(cls) -> _Gpus | None:
        """Return them; None where there are none, or nothing to ask them with."""
        nvml = _found("pynvml")
        if nvml is None:
            return None
        try:
            return cls(nvml)
        except Exception:  # noqa: BLE001 (its errors are its own, and say that there is no driver)
            return None

    def read(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for at, device in enumerate(self._devices):
            # A device that does not answer is left out.
            with suppress(Exception):
                found |= self._read_one(at, device)
        return found

    def _read_one(self, at: int, device: object) -> dict[str, float]:
        use = self._nvml.nvmlDeviceGetUtilizationRates(device)
        memory = self._nvml.nvmlDeviceGetMemoryInfo(device)
        return {
            f"gpu_{at}_percent": float(use.gpu),
            f"gpu_{at}_memory_used_bytes": float(memory.used),
            f"gpu_{at}_memory_percent": 100.0 * memory.used / max(memory.total, 1),
            f"gpu_{at}_power_w": self._nvml.nvmlDeviceGetPowerUsage(device) / 1000.0,
        }


def _psutil_counts(psutil: ModuleType) -> dict[str, float]:
    times = psutil.cpu_times()
    process = psutil.Process().cpu_times()
    network = psutil.net_io_counters()
    counts = {
        "cpu_busy": float(sum(times) - times.idle),
        "cpu_all": float(sum(times)),
        "process_cpu_s": float(process.user + process.system),
    }
    if network is not None:
        counts |= {
            "network_received_bytes": float(network.bytes_recv),
            "network_sent_bytes": float(network.bytes_sent),
        }
    return counts


def _found(module: str) -> ModuleType | None:
    if module in sys.modules:
        return sys.modules[module]
    try:
        return import_module(module)
    except ImportError:
        return None
