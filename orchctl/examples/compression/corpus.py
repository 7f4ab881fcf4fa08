"""The file that the compressors of compression.yaml are measured on: sources that every machine with Python has."""

import shutil
import sysconfig
from pathlib import Path
from typing import Any

TOOLS = ("gzip", "xz", "zstd")


def build(out: str, megabytes: int) -> dict[str, Any]:
    """Write the first megabytes of the standard library's sources to one file in the folder `out`."""
    left = megabytes * 1_000_000
    target = Path(out).resolve() / "corpus.txt"
    with target.open("wb") as file:
        for source in sorted(Path(sysconfig.get_paths()["stdlib"]).rglob("*.py")):
            if "site-packages" not in source.parts and "dist-packages" not in source.parts and left > 0:
                left -= file.write(source.read_bytes()[:left])
    print(f"{target.stat().st_size:,} bytes in {target}")
    return {"file": str(target), "tools": [tool for tool in TOOLS if shutil.which(tool)]}
