"""GNU parallel with a job log: the nearest that a shell has to us. It starts a shell for each command."""

from pathlib import Path

from benchmarks.peers.kit import Command, Settings, Work


def write(work: Work, folder: Path, settings: Settings) -> tuple[list[str], bytes]:
    lines = "".join(f"{work.line(i)}\n" for i in range(work.count)).encode()
    return ["parallel", "--will-cite", "-j", str(settings.slots), "--joblog", str(folder / "joblog")], lines


PEER = Command("parallel", {"independent": 250, "shell": 250}, write)
