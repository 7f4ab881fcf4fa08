"""A pynvml that answers as NVML's API reference says, for devices that are not there.

It has what `engine.execution.host_gpus` asks for: handles in the order of the bus, an error where a device does not
support a question, "not found" for a place without a MIG device, and no answer at all before `nvmlInit`.
"""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

GIB = 2**30


class NVMLError(Exception):
    """`value` is NVML's return code."""

    def __init__(self, value: int) -> None:
        super().__init__(value)
        self.value = value


NVML_ERROR_UNINITIALIZED, NVML_ERROR_INVALID_ARGUMENT, NVML_ERROR_NOT_SUPPORTED = 1, 2, 3
NVML_ERROR_NOT_FOUND, NVML_ERROR_DRIVER_NOT_LOADED, NVML_ERROR_GPU_IS_LOST = 6, 9, 15


def device(uuid: str, **answers: Any) -> SimpleNamespace:
    """`memory`: (total, used); `busy`: percent; `bus`; `parts`: MIG devices by place, None for an empty one; `lost`."""
    return SimpleNamespace(**{"uuid": uuid, "name": "NVIDIA H100 80GB HBM3", "memory": (80 * GIB, 0), "busy": 0,
        "bus": "00000000:01:00.0", "parts": None, "lost": False} | answers)  # fmt: skip


class FakeNvml:
    """`init_error` is what `nvmlInit` fails with."""

    NVMLError = NVMLError
    NVML_DEVICE_MIG_ENABLE = 1

    def __init__(self, *devices: SimpleNamespace, init_error: int = 0) -> None:
        self.devices = devices
        self.init_error = init_error
        self.users = 0

    def nvmlInit(self) -> None:  # noqa: N802 - NVML's names
        if self.init_error:
            raise NVMLError(self.init_error)
        self.users += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self._open()
        self.users -= 1

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        self._open()
        return len(self.devices)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> SimpleNamespace:  # noqa: N802
        self._open()
        if self.devices[index].lost:
            raise NVMLError(NVML_ERROR_GPU_IS_LOST)
        return self.devices[index]

    def nvmlDeviceGetUUID(self, handle: SimpleNamespace) -> str:  # noqa: N802
        return self._told(handle, handle.uuid)

    def nvmlDeviceGetName(self, handle: SimpleNamespace) -> str | bytes:  # noqa: N802
        return self._told(handle, handle.name)

    def nvmlDeviceGetMemoryInfo(self, handle: SimpleNamespace) -> SimpleNamespace:  # noqa: N802
        return self._told(handle, handle.memory, lambda found: SimpleNamespace(total=found[0], used=found[1]))

    def nvmlDeviceGetUtilizationRates(self, handle: SimpleNamespace) -> SimpleNamespace:  # noqa: N802
        return self._told(handle, handle.busy, lambda found: SimpleNamespace(gpu=found, memory=0))

    def nvmlDeviceGetPciInfo(self, handle: SimpleNamespace) -> SimpleNamespace:  # noqa: N802
        return self._told(handle, handle.bus, lambda found: SimpleNamespace(busId=found))

    def nvmlDeviceGetMigMode(self, handle: SimpleNamespace) -> list[int]:  # noqa: N802
        return self._told(handle, None if handle.parts is None else [1, 1])

    def nvmlDeviceGetMaxMigDeviceCount(self, handle: SimpleNamespace) -> int:  # noqa: N802
        return self._told(handle, len(handle.parts or ()))

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: SimpleNamespace, index: int) -> SimpleNamespace:  # noqa: N802
        self._open()
        if handle.parts is None or index >= len(handle.parts):
            raise NVMLError(NVML_ERROR_INVALID_ARGUMENT)
        if handle.parts[index] is None:
            raise NVMLError(NVML_ERROR_NOT_FOUND)
        return handle.parts[index]

    def _open(self) -> None:
        if not self.users:
            raise NVMLError(NVML_ERROR_UNINITIALIZED)

    def _told(self, handle: SimpleNamespace, answer: Any, shape: Callable[[Any], Any] = lambda found: found) -> Any:
        self._open()
        if answer is None:
            raise NVMLError(NVML_ERROR_NOT_SUPPORTED)
        return shape(answer)
