"""GPUs as NVML tells of them, by a fake whose questions are those of the real binding."""

import sys
from pathlib import Path

import pytest

from engine.execution.host_gpus import gpu_use, gpus
from engine.model.host import Gpu, GpuUse
from tests.support.fake_nvml import GIB, NVML_ERROR_DRIVER_NOT_LOADED, FakeNvml, device
from tests.support.host_trees import write


def test_gpus_have_uuid_name_memory_and_node(tmp_path: Path):
    root = write(tmp_path, {"sys/bus/pci/devices/0000:3b:00.0/numa_node": "1\n"})
    nvml = FakeNvml(device("GPU-a", bus="00000000:3B:00.0"), device("GPU-b", name=b"NVIDIA A10", memory=(24 * GIB, 5)))
    assert gpus(root, nvml) == (
        Gpu("GPU-a", "NVIDIA H100 80GB HBM3", 80 * GIB, 1),
        Gpu("GPU-b", "NVIDIA A10", 24 * GIB, -1),
    )
    assert nvml.users == 0


def test_use_is_what_anybody_uses(tmp_path: Path):
    nvml = FakeNvml(device("GPU-a", busy=87, memory=(80 * GIB, 3 * GIB)))
    assert gpu_use(nvml) == (GpuUse("GPU-a", 87, 3 * GIB),)


def test_what_a_device_does_not_tell_is_unknown(tmp_path: Path):
    nvml = FakeNvml(device("GPU-a", memory=None, busy=None, bus=None))
    assert gpus(tmp_path, nvml) == (Gpu("GPU-a", "NVIDIA H100 80GB HBM3"),)
    assert gpu_use(nvml) == (GpuUse("GPU-a"),)


def test_a_divided_gpu_is_its_mig_devices(tmp_path: Path):
    root = write(tmp_path, {"sys/bus/pci/devices/0000:01:00.0/numa_node": "0\n"})
    parts = [device("MIG-1", memory=(10 * GIB, 0), busy=None, bus=None), None, device("MIG-2", bus=None)]
    nvml = FakeNvml(device("GPU-a", parts=parts), device("GPU-b"))
    assert [(gpu.uuid, gpu.node) for gpu in gpus(root, nvml)] == [("MIG-1", 0), ("MIG-2", 0), ("GPU-b", 0)]
    assert [use.busy_percent for use in gpu_use(nvml)] == [None, 0, 0]


def test_a_divided_gpu_without_parts_cannot_be_used(tmp_path: Path):
    assert gpus(tmp_path, FakeNvml(device("GPU-a", parts=[None] * 7))) == ()


def test_a_gpu_that_fell_off_the_bus_is_left_out(tmp_path: Path):
    nvml = FakeNvml(device("GPU-a", lost=True), device("GPU-b"))
    assert [gpu.uuid for gpu in gpus(tmp_path, nvml)] == ["GPU-b"]


def test_without_a_driver_there_are_none_and_nothing_is_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    assert gpus(tmp_path, FakeNvml(init_error=NVML_ERROR_DRIVER_NOT_LOADED)) == ()
    assert capfd.readouterr() == ("", "")


def test_without_the_extra_there_are_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert gpus(tmp_path) == gpu_use() == ()


def test_the_fake_is_asked_what_the_real_binding_answers():
    real = pytest.importorskip("pynvml", reason="the extra gpu is not installed")
    asked = [name for name in dir(FakeNvml) if name.lower().startswith("nvml")]
    assert len(asked) > 10
    assert [name for name in asked if not hasattr(real, name)] == []
    assert real.NVML_DEVICE_MIG_ENABLE == FakeNvml.NVML_DEVICE_MIG_ENABLE
