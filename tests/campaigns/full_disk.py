"""A small disk that fills up under load, and gets its space back. Needs the right to mount a tmpfs.

    python -m tests.campaigns.full_disk

Every run number that a submit printed must be there afterwards; the engine must have said what was wrong; and when
there is room again, everything that was acknowledged goes on to its end.
"""

import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.support.home import REGARDLESS, Home, wait_for

MEBIBYTE = 2**20
FLOW = """name: small
tasks:
  t:
    run: [sleep, "0.02"]
    for_each: "{{ range(100) }}"
    on_lost: rerun
"""


@contextlib.contextmanager
def small_disk(size_mib: int) -> Iterator[Path]:
    """A tmpfs of that size, gone at the end."""
    folder = Path(tempfile.mkdtemp(prefix="orchctl-disk-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size_mib}m", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
        folder.rmdir()


def fill(path: Path) -> None:
    """Write until nothing more fits."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(MEBIBYTE // 16))


def main() -> int:
    """0 if nothing acknowledged was lost."""
    found: list[str] = []
    with small_disk(64) as folder:
        place = Home(folder / "home")
        place.root.mkdir()
        place.file("config.toml", '[store]\nfree_bytes_min = "4MiB"\n' + REGARDLESS)
        flow = place.file("small.yaml", FLOW)
        place.start()
        acknowledged = [place.rows("submit", str(flow))[0]["run"] for _ in range(3)]
        refusals: list[str] = []
        for number in range(40):
            fill(folder / f"filler-{number}")  # also what the engine lets go of to stay alive
            done = place.call("submit", str(flow))
            if done.returncode == 0:
                acknowledged.append(done.stdout.strip())
            else:
                refusals.append(done.stderr.strip())
            time.sleep(0.1)
        if not refusals:
            found.append("a full disk refused nothing")
        found += [f"this does not say why: {text}" for text in refusals if "full" not in text]
        for filler in folder.glob("filler-*"):
            filler.unlink()
        time.sleep(2)
        if place.call("engine", "status").returncode:
            place.start()
        for run in acknowledged:
            wait_for(lambda run=run: place.rows("show", run)[0]["finished_at"], f"{run} to end", 120)
            status = place.rows("show", run)[0]["status"]
            if status != "succeeded":
                found.append(f"{run} is {status}")
        total = len(place.rows("runs", "--limit", "1000"))
        if total != len(acknowledged):
            found.append(f"{total} runs are there, {len(acknowledged)} were acknowledged")
        place.close()
        kinds = sorted({text.splitlines()[0] for text in refusals})
        sys.stdout.write(f"{len(acknowledged)} acknowledged, {len(refusals)} refused: {kinds}\n")
    for sentence in found:
        sys.stdout.write(sentence + "\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
