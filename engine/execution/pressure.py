"""A look at what the host is short of: memory that is available, and how long things stood still for want of it."""

from pathlib import Path

from engine.core.events import HostSampled
from engine.execution.host_text import fields_of, kib_of, read


def look_at_host(root: Path = Path("/")) -> HostSampled:
    """What the kernel tells (proc(5), /proc/meminfo; Documentation/accounting/psi.rst)."""
    memory = fields_of(read(root / "proc/meminfo"))
    available = memory.get("MemAvailable")
    return HostSampled(
        kib_of(available) if available else None, kib_of(memory.get("MemTotal", "")),
        _stalled(read(root / "proc/pressure/memory")),
    )  # fmt: skip


def _stalled(text: str) -> float | None:
    for line in text.splitlines():
        if line.startswith("some "):
            for word in line.split():
                name, _, value = word.partition("=")
                if name == "avg10":
                    return float(value)
    return None
