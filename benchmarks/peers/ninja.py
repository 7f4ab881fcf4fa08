"""ninja: starts a shell for each command, keeps a log of what it built (nothing here, as nothing is a file)."""

from pathlib import Path

from benchmarks.peers.kit import Command, Settings, Work


def write(work: Work, folder: Path, settings: Settings) -> tuple[list[str], bytes]:
    lines = ["rule r", "  command = $line"]
    for i, ups in enumerate(work.parents):
        lines.append(f"build t{i}: r {' '.join(f't{up}' for up in ups)}\n  line = {work.line(i)}")
    (folder / "build.ninja").write_text("\n".join(lines) + "\n")
    return ["ninja", f"-j{settings.slots}", "--quiet"], b""


PEER = Command("ninja", {"independent": 1500, "shell": 1500, "chain": 800, "layers": 1500}, write)
