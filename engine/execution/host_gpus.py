"""GPUs by NVML, where the extra `gpu` is installed and there is a driver; elsewhere there are none, without a word.

NVML numbers devices anew at each boot, so they go by UUID, which CUDA_VISIBLE_DEVICES takes as well. A GPU in MIG mode
cannot be used as a whole: its MIG devices, which have UUIDs of their own, stand in its place (NVML API reference,
"Multi Instance GPU Management"; CUDA programming guide, "CUDA environment variables"). What a device does not tell is
unknown, not an error: memory of integrated GPUs, the use of MIG devices.
"""

import contextlib
import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from engine.execution.host_text import read
from engine.model.host import NODE_UNKNOWN, Gpu, GpuUse


def gpus(root: Path, nvml: Any = None) -> tuple[Gpu, ...]:
    """All GPUs in NVML's order, which is that of the bus. `nvml` is a module like pynvml; None: the installed one."""
    return tuple(_gpu(library, device, bus, root) for library, device, bus in _devices(nvml))


def gpu_use(nvml: Any = None) -> tuple[GpuUse, ...]:
    """How each GPU is used at this moment."""
    return tuple(_use(library, device) for library, device, _ in _devices(nvml))


def _devices(nvml: Any) -> Iterator[tuple[Any, Any, Any]]:
    """(library, device, the device that sits on the bus); the library is open while this is read."""
    library = nvml or _installed()
    if library is None or _asked(library, library.nvmlInit) is _FAILED:
        return
    try:
        for number in range(_asked(library, library.nvmlDeviceGetCount) or 0):
            device = _asked(library, library.nvmlDeviceGetHandleByIndex, number)
            if device:
                parts = list(_parts(library, device))
                for part in parts if parts or _in_mig_mode(library, device) else [device]:
                    yield library, part, device
    finally:
        _asked(library, library.nvmlShutdown)


def _installed() -> Any:
    with contextlib.suppress(ImportError):
        return importlib.import_module("pynvml")
    return None


class _Failed:
    """What a question without an answer gives; it is false."""

    def __bool__(self) -> bool:
        return False


_FAILED = _Failed()


def _asked(library: Any, function: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return function(*arguments)
    except library.NVMLError:
        return _FAILED


def _in_mig_mode(library: Any, device: Any) -> bool:
    """Whether the GPU is divided now, whatever was asked for after the next reset."""
    mode = _asked(library, library.nvmlDeviceGetMigMode, device)
    return bool(mode) and mode[0] == library.NVML_DEVICE_MIG_ENABLE


def _parts(library: Any, device: Any) -> Iterator[Any]:
    if not _in_mig_mode(library, device):
        return
    for number in range(_asked(library, library.nvmlDeviceGetMaxMigDeviceCount, device) or 0):
        part = _asked(library, library.nvmlDeviceGetMigDeviceHandleByIndex, device, number)
        if part:  # places of the GPU that hold no MIG device answer "not found"
            yield part


def _gpu(library: Any, device: Any, on_bus: Any, root: Path) -> Gpu:
    memory = _asked(library, library.nvmlDeviceGetMemoryInfo, device)
    return Gpu(
        uuid=_text(_asked(library, library.nvmlDeviceGetUUID, device)),
        name=_text(_asked(library, library.nvmlDeviceGetName, device)),
        memory_bytes=memory.total if memory else 0,
        node=_node(_asked(library, library.nvmlDeviceGetPciInfo, on_bus), root),
    )


def _use(library: Any, device: Any) -> GpuUse:
    rates = _asked(library, library.nvmlDeviceGetUtilizationRates, device)
    memory = _asked(library, library.nvmlDeviceGetMemoryInfo, device)
    return GpuUse(
        uuid=_text(_asked(library, library.nvmlDeviceGetUUID, device)),
        busy_percent=rates.gpu if rates else None,
        memory_used_bytes=memory.used if memory else None,
    )


def _text(value: Any) -> str:
    """Older bindings answer bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value or ""


def _node(bus: Any, root: Path) -> int:
    """NVML writes eight digits of the PCI domain, /sys four."""
    if not bus:
        return NODE_UNKNOWN
    place = _text(bus.busId).lower()[-12:]
    text = read(root / f"sys/bus/pci/devices/{place}/numa_node").strip()
    return int(text) if text.isdecimal() else NODE_UNKNOWN
