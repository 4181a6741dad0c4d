from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.serving import wait_until
from millwright.sdk import system
from millwright.sdk.system import (
    SystemReader,
    Watch,
    cpu_counts,
    disk_counts,
    memory_levels,
    network_counts,
    process_counts,
    rates,
)
from millwright.testing.clock import FakeClock

STAT = "cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 1 2 3\n"
PROCESS = "7 (a (weird) name) S 1 1 1 0 -1 0 0 0 0 0 250 50 0 0 20 0 1 0 5 0 0\n"
NETWORK = """Inter-|   Receive                |  Transmit
 face |bytes    packets errs drop|bytes    packets
    lo:  999       1    0    0    0     0          0         0   999    1    0    0    0     0
  eth0:  1000      1    0    0    0     0          0         0    500    1    0    0    0     0
 wlan0:10 1 0 0 0 0 0 0 5 1 0 0 0 0 0 0
"""
DISKS = """   8       0 sda 1 0 100 0 1 0 10 0 0 0 0
   8       1 sda1 1 0 90 0 1 0 9 0 0 0 0
 259       0 nvme0n1 1 0 2 0 1 0 4 0 0 0 0
 259       1 nvme0n1p1 1 0 2 0 1 0 4 0 0 0 0
   7       0 loop0 1 0 500 0 1 0 500 0 0 0 0
"""
MEMORY = "MemTotal:       1000 kB\nMemFree:  1 kB\nMemAvailable:    250 kB\n"


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A `/proc` of our own."""
    (tmp_path / "self").mkdir()
    (tmp_path / "net").mkdir()
    (tmp_path / "stat").write_text(STAT)
    (tmp_path / "self" / "stat").write_text(PROCESS)
    (tmp_path / "self" / "statm").write_text("100 25 3 1 0 1 0\n")
    (tmp_path / "net" / "dev").write_text(NETWORK)
    (tmp_path / "diskstats").write_text(DISKS)
    (tmp_path / "meminfo").write_text(MEMORY)
    return tmp_path


def test_each_file_is_read_as_the_kernel_writes_it() -> None:
    assert cpu_counts(STAT) == {"cpu_busy": 150.0, "cpu_all": 1000.0}
    ticks = os.sysconf("SC_CLK_TCK")
    assert process_counts(PROCESS) == {"process_cpu_s": 300 / ticks}
    assert network_counts(NETWORK) == {
        "network_received_bytes": 1010.0,
        "network_sent_bytes": 505.0,
    }
    assert disk_counts(DISKS) == {"disk_read_bytes": 102 * 512, "disk_written_bytes": 14 * 512}
    assert memory_levels(MEMORY) == {"memory_used_bytes": 750 * 1024, "memory_percent": 75.0}


def test_files_that_say_nothing_give_nothing() -> None:
    assert cpu_counts("") == {}
    assert memory_levels("") == {}


def test_the_first_reading_has_levels_and_the_second_rates(proc: Path, clock: FakeClock) -> None:
    reader = SystemReader(proc, clock, proc=proc)
    first = reader.read()
    assert first["system/memory_percent"] == 75.0
    assert first["system/process_memory_bytes"] == 25 * os.sysconf("SC_PAGE_SIZE")
    assert "system/cpu_percent" not in first
    (proc / "stat").write_text("cpu  150 0 50 850 50 0 0 0 0 0\n")
    (proc / "net" / "dev").write_text(NETWORK.replace("1000 ", "3000 "))
    clock.advance(2.0)
    second = reader.read()
    assert second["system/cpu_percent"] == 50.0
    assert second["system/network_received_bytes_per_s"] == 1000.0
    assert second["system/process_cpu_percent"] == 0.0
    assert 0 <= second["system/disk_used_percent"] <= 100


def test_this_machine_can_be_read(tmp_path: Path, clock: FakeClock) -> None:
    if not Path("/proc/stat").exists():
        pytest.skip("this system has no /proc")
    found = SystemReader(tmp_path, clock).read()
    assert found["system/process_memory_bytes"] > 1 << 20
    assert 0 < found["system/memory_percent"] <= 100


counters = st.dictionaries(
    st.sampled_from(["cpu_busy", "cpu_all", "process_cpu_s", "disk_read_bytes"]),
    st.floats(0, 1e12),
)


@given(counters, counters, st.floats(-1, 1e6))
def test_any_two_readings_give_finite_rates(
    before: dict[str, float], now: dict[str, float], seconds: float
) -> None:
    for name, value in rates(before, now, seconds).items():
        assert name.endswith(("_percent", "_per_s"))
        assert isinstance(value, float)


def test_without_proc_psutil_is_asked(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Times(NamedTuple):
        user: float
        idle: float

    process = SimpleNamespace(
        cpu_times=lambda: SimpleNamespace(user=1.0, system=2.0),
        memory_info=lambda: SimpleNamespace(rss=4096),
    )
    psutil = SimpleNamespace(
        cpu_times=lambda: Times(40.0, 60.0),
        virtual_memory=lambda: SimpleNamespace(total=100, available=40),
        net_io_counters=lambda: SimpleNamespace(bytes_recv=10, bytes_sent=20),
        Process=lambda: process,
    )
    monkeypatch.setitem(sys.modules, "psutil", psutil)  # pyright: ignore[reportArgumentType]
    reader = SystemReader(tmp_path, clock, proc=tmp_path / "nothing")
    first = reader.read()
    assert (first["system/memory_used_bytes"], first["system/process_memory_bytes"]) == (60, 4096)
    clock.advance(1.0)
    assert reader.read()["system/network_sent_bytes_per_s"] == 0.0


def test_gpus_are_asked_where_there_is_a_library(
    proc: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def use_of(device: int) -> SimpleNamespace:
        if device == 1:
            raise RuntimeError("the device fell off the bus")
        return SimpleNamespace(gpu=80)

    def handle_of(at: int) -> int:
        return at

    def memory_of(device: int) -> SimpleNamespace:
        return SimpleNamespace(used=25, total=100)

    def power_of(device: int) -> int:
        return 150_000

    nvml = SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=handle_of,
        nvmlDeviceGetUtilizationRates=use_of,
        nvmlDeviceGetMemoryInfo=memory_of,
        nvmlDeviceGetPowerUsage=power_of,
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)  # pyright: ignore[reportArgumentType]
    found = SystemReader(proc, clock, proc=proc).read()
    assert {name: value for name, value in found.items() if "gpu" in name} == {
        "system/gpu_0_percent": 80.0,
        "system/gpu_0_memory_used_bytes": 25.0,
        "system/gpu_0_memory_percent": 25.0,
        "system/gpu_0_power_w": 150.0,
    }


def test_a_library_without_a_driver_is_no_gpu(
    proc: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise RuntimeError("no driver")

    monkeypatch.setitem(
        sys.modules,
        "pynvml",
        SimpleNamespace(nvmlInit=fail),  # pyright: ignore[reportArgumentType]
    )
    assert not any("gpu" in name for name in SystemReader(proc, clock, proc=proc).read())


def test_a_watch_reads_until_it_is_stopped(proc: Path, clock: FakeClock) -> None:
    seen: list[tuple[int, dict[str, float]]] = []
    watch = Watch(
        SystemReader(proc, clock, proc=proc),
        lambda metrics, step: seen.append((step, metrics)),
        interval_s=0.001,
    )
    watch.start()
    wait_until(lambda: len(seen) >= 3)
    watch.stop()
    assert [step for step, _ in seen[:3]] == [0, 1, 2]
    assert all(name.startswith(system.PREFIX) for name in seen[0][1])
