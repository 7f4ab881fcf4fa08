"""xargs -P: no order, no state, no logs."""

from pathlib import Path

from benchmarks.peers.kit import Command, Settings, Work


def write(work: Work, folder: Path, settings: Settings) -> tuple[list[str], bytes]:
    numbers = "".join(f"{i}\n" for i in range(work.count)).encode()
    return ["xargs", "-P", str(settings.slots), "-n", "1", *work.argv(0)], numbers


PEER = Command("xargs", {"independent": 2000, "shell": 1500}, write)
