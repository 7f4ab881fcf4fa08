"""GNU make: keeps nothing, captures nothing; simple commands are started without a shell."""

from pathlib import Path

from benchmarks.peers.kit import Command, Settings, Work


def write(work: Work, folder: Path, settings: Settings) -> tuple[list[str], bytes]:
    names = " ".join(f"t{i}" for i in range(work.count))
    lines = [f".PHONY: all {names}", f"all: {names}"]
    for i, ups in enumerate(work.parents):
        lines.append(f"t{i}: {' '.join(f't{up}' for up in ups)}\n\t@{work.line(i)}")
    (folder / "Makefile").write_text("\n".join(lines) + "\n")
    return ["make", "-s", f"-j{settings.slots}"], b""


PEER = Command("make", {"independent": 3000, "shell": 2000, "chain": 1500, "layers": 3000, "traces": 3000}, write)
