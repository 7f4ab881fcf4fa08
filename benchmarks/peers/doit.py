"""doit: remembers what it did in a file that it writes at its end. Python actions run fastest in its one process;
where they last, it gets as many as the others.
"""

import json
from dataclasses import asdict
from pathlib import Path

from benchmarks.peers.kit import ROOT, Command, Settings, Work

_DODO = """
import json, sys
sys.path.append({root!r})
from pathlib import Path
from benchmarks.peers.calls import call
from benchmarks.peers.kit import Work

work = Work(**json.loads(Path({work!r}).read_text()))

def task_all():
    for i in range(work.calls):
        yield {{"name": str(i), "actions": [(call, [i, work.seconds])]}}
    for i, ups in enumerate(work.parents):
        argv = work.argv(i)
        action = work.line(i) if argv[0] == "/bin/sh" else argv
        yield {{"name": str(i), "actions": [action], "task_dep": [f"all:{{up}}" for up in ups]}}
"""


def write(work: Work, folder: Path, settings: Settings) -> tuple[list[str], bytes]:
    (folder / "work.json").write_text(json.dumps(asdict(work)))
    (folder / "dodo.py").write_text(_DODO.format(root=str(ROOT), work=str(folder / "work.json")))
    alone = work.calls and not work.seconds
    processes = [] if alone else ["-n", str(settings.slots)]
    return [settings.python, "-m", "doit", "run", "-v", "0", "--reporter", "zero", *processes], b""


PEER = Command(
    "doit", {"independent": 800, "shell": 700, "chain": 500, "layers": 700, "no-op": 6000, "lasting": 1000}, write,
    distribution="doit", alone=False,
)  # fmt: skip
