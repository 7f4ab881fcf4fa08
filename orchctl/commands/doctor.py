"""doctor: is this machine, the home folder and the engine as they should be? Looks only; changes nothing.

Each check is a function that returns findings; one that cannot look says so instead of failing the others.
"""

import os
import platform
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from engine.model.errors import EngineError
from engine.model.instants import SECOND, from_text
from engine.protocol.messages import GetEngine
from engine.protocol.rows import EngineRow
from orchctl.client.connection import NoEngine
from orchctl.client.session import Session
from orchctl.client.starting import check_kernel, log_tail
from orchctl.commands.kit import RUN_FAILED, SUCCEEDED, Command, Place, Words, nothing_more
from orchctl.paths import Home
from orchctl.text import inert, size_text

_PACKAGES = ("msgspec", "lmdb", "trio", "textual", "psutil", "uvloop", "croniter", "yaml", "tzdata")
_NETWORK_FILE_SYSTEMS = ("nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "lustre", "ceph")
_FILES_MIN = 1024
_FREE_BYTES_MIN = 256 * 2**20
_FREE_BYTES_GOOD = 2 * 2**30
_UNHELD = "quotas are sampled, a part of a CPU is rounded up to whole ones, trees are found by descent"
_CLOCK_MIN_S = 1_735_689_600  # 2025: before it, the clock was surely never set


class Finding(NamedTuple):
    """`level` is ok, warning (works, but) or problem (something will not work)."""

    check: str
    level: str
    sentence: str
    hint: str = ""


def _system(home: Home) -> Iterator[Finding]:
    try:
        check_kernel()
        yield Finding("kernel", "ok", f"{platform.system()} {platform.release()}")
    except EngineError as error:
        yield Finding("kernel", "problem", error.sentence)
    yield Finding("python", "ok", f"{platform.python_version()} at {sys.executable}")


def _packages(home: Home) -> Iterator[Finding]:
    from importlib.util import find_spec

    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        yield Finding("packages", "problem", f"missing: {', '.join(missing)}", "install orchctl with its dependencies")
    else:
        yield Finding("packages", "ok", f"all {len(_PACKAGES)} are there")


def _home(home: Home) -> Iterator[Finding]:
    root = home.root
    if not root.exists():
        yield Finding("home", "ok", f"{root} does not exist yet; the engine makes it")
        return
    info = root.stat()
    if not root.is_dir():
        yield Finding("home", "problem", f"{root} is no folder", "choose another ORCHCTL_HOME")
        return
    if info.st_uid != os.geteuid():
        yield Finding("home", "warning", f"{root} belongs to uid {info.st_uid}, not to you")
    elif not os.access(root, os.R_OK | os.W_OK | os.X_OK):
        yield Finding("home", "problem", f"{root} is not yours to write to", f"chmod u+rwx {root}")
    elif info.st_mode & 0o022:
        yield Finding("home", "problem", f"others may write to {root}", f"chmod go-w {root}")
    else:
        yield Finding("home", "ok", str(root))
    if home.state.is_dir() and home.state.stat().st_mode & 0o077:
        yield Finding("state", "problem", f"others may enter {home.state}", f"chmod 700 {home.state}")


def _disk(home: Home) -> Iterator[Finding]:
    folder = _nearest(home.root)
    usage = shutil.disk_usage(folder)
    level = "problem" if usage.free < _FREE_BYTES_MIN else "warning" if usage.free < _FREE_BYTES_GOOD else "ok"
    hint = "below 256 MiB the engine takes no new work" if level != "ok" else ""
    yield Finding("disk", level, f"{size_text(usage.free)} free of {size_text(usage.total)} at {folder}", hint)
    kind = _file_system(folder)
    if kind in _NETWORK_FILE_SYSTEMS:
        yield Finding("file system", "problem", f"{folder} is on {kind}", "the state needs a local file system")
    else:
        yield Finding("file system", "ok", kind)


def _nearest(path: Path) -> Path:
    return next(folder for folder in (path, *path.parents) if folder.exists())


def _file_system(folder: Path) -> str:
    """The type of the file system that holds a folder: of the longest mount point that leads to it."""
    best, kind = "", "unknown"
    for line in Path("/proc/self/mounts").read_text(errors="surrogateescape").splitlines():
        _, point, found, *_ = line.split(" ")
        point = point.replace("\\040", " ")
        inside = str(folder) == point or str(folder).startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, found
    return kind


def _limits(home: Home) -> Iterator[Finding]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    level = "ok" if hard == resource.RLIM_INFINITY or hard >= _FILES_MIN else "warning"
    yield Finding("open files", level, f"{soft}, at most {hard}", "" if level == "ok" else "raise it with ulimit -n")
    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    unlimited = soft == resource.RLIM_INFINITY
    level = "ok" if unlimited or soft >= _FILES_MIN else "warning"
    yield Finding("processes", level, "unlimited" if unlimited else f"{soft} for this user")
    yield Finding("cpus", "ok", f"{len(os.sched_getaffinity(0))} of {os.cpu_count()} may be used")


def _clock(home: Home) -> Iterator[Finding]:
    if time.time() < _CLOCK_MIN_S:
        yield Finding("clock", "problem", "the clock was never set", "schedules follow the wall clock: set it")
        return
    zone = time.strftime("%Y-%m-%d %H:%M:%S %Z")
    yield Finding("clock", "ok", zone)


def _cgroup(home: Home) -> Iterator[Finding]:
    """Whether a cgroup v2 leaf per attempt can be made: it makes quotas exact, but nothing depends on it."""
    mine = next(
        (line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::")), None
    )
    if mine is None or not Path("/sys/fs/cgroup/cgroup.controllers").exists():
        yield Finding("cgroup", "ok", f"no cgroup v2: {_UNHELD}")
        return
    folder = Path("/sys/fs/cgroup") / mine.lstrip("/")
    if os.access(folder, os.W_OK) and os.access(folder / "cgroup.procs", os.W_OK):
        controllers = (folder / "cgroup.controllers").read_text().strip() or "none"
        yield Finding("cgroup", "ok", f"delegated; controllers: {controllers}")
    else:
        yield Finding("cgroup", "ok", f"not delegated: {_UNHELD}")


def _engine(home: Home) -> Iterator[Finding]:
    try:
        with Session(home) as session:  # a read-only one is a viewer, whoever asks
            row, _ = session.one(GetEngine(), EngineRow)
            role = session.welcome().role
    except NoEngine:
        left = home.socket.exists()
        sentence = "none runs" + (", but its socket is still there" if left else "")
        yield Finding("engine", "ok", sentence, "`orchctl engine start` starts it")
        yield from _last_words(home)
        return
    except EngineError as error:
        yield Finding("engine", "problem", error.sentence, error.hint)
        yield from _last_words(home)
        return
    level = "ok" if row.state == "serving" else "warning"
    yield Finding("engine", level, f"{row.state}, pid {row.pid}, version {row.version}; you are {role}")
    ahead_s = time.time() - from_text(row.started_at) / SECOND
    if ahead_s < -1:
        yield Finding("clock", "warning", f"the engine started {-ahead_s:.0f} s in the future: the clock was set back")
    for problem in row.problems:
        yield Finding("engine", "problem", problem)


def _last_words(home: Home) -> Iterator[Finding]:
    words = log_tail(home.engine_log, 5)
    if words:
        yield Finding("engine log", "ok", "; ".join(words), f"all of it: {home.engine_log}")


CHECKS: tuple[Callable[[Home], Iterator[Finding]], ...] = (
    _system, _packages, _home, _disk, _limits, _clock, _cgroup, _engine,
)  # fmt: skip


def findings(home: Home) -> Iterator[Finding]:
    """What all checks found."""
    for check in CHECKS:
        try:
            yield from check(home)
        except (OSError, ValueError) as error:
            yield Finding(check.__name__.strip("_"), "warning", f"could not be looked at: {error}")


def doctor(words: Words, place: Place) -> int:
    out = place.out
    worst = SUCCEEDED
    for finding in findings(place.home):
        if finding.level == "problem":
            worst = RUN_FAILED
        if out.json:
            out.row(finding._asdict())
            continue
        out.line(f"{out.paint(f'{finding.level:<8}', finding.level)} {finding.check:<12} {inert(finding.sentence)}")
        if finding.hint and finding.level != "ok":
            out.line(f"{'':<21} {inert(finding.hint)}")
    return worst


COMMANDS = {
    "doctor": Command(
        doctor,
        nothing_more,
        ("orchctl doctor", "orchctl doctor --json"),
        "Changes nothing. Exit code 1 when there is a problem; warnings do not count.",
    )
}
