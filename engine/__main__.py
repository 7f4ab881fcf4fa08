"""`python -m engine --home HOME`: run the engine in the foreground, until it is stopped.

`python -m engine restore FOLDER --home HOME` puts a backup in the place of the state, while no engine runs.
`python -m engine sweep --home HOME [--kill]` ends the processes that an engine left behind, while no engine runs, and
prints the pid of each, one a line. Attempts that run are ended only with `--kill`; without it they are a refusal.
Exit codes: 0 stopped as asked, 1 it could not go on, 2 usage or configuration, 3 refused (say, by another engine).
"""

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.model.errors import EngineError

MINIMUM_KERNEL = (5, 10)


def main() -> int:
    """The program."""
    parser = argparse.ArgumentParser(prog="python -m engine", description=__doc__)
    parser.add_argument("verb", nargs="?", choices=["run", "restore", "sweep"], default="run")
    parser.add_argument("folder", nargs="?", help="the backup to restore")
    parser.add_argument("--home", required=True, help="the folder of state, sockets, logs and configuration")
    parser.add_argument("--kill", action="store_true", help="sweep: end the attempts that run too")
    options = parser.parse_args()
    if not _host_is_fit():
        return 2
    home = Path(options.home).absolute()
    if options.verb == "restore":
        return _restore(home, options.folder)
    if options.verb == "sweep":
        return _sweep(home, kill=options.kill)
    from engine.daemon.main import run_engine  # heavy, and not needed to restore or to sweep

    return run_engine(home)


def _host_is_fit() -> bool:
    release = tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2] if part.isdigit())
    if sys.platform == "linux" and release >= MINIMUM_KERNEL:
        return True
    sys.stderr.write(f"orchctl needs Linux 5.10 or newer, this is {os.uname().sysname} {os.uname().release}\n")
    return False


def _restore(home: Path, folder: str | None) -> int:
    from engine.model.errors import EngineError
    from engine.store.backup import restore

    if folder is None:
        sys.stderr.write("name the folder of the backup\n")
        return 2
    try:
        found = restore(Path(folder), home / "state")
    except EngineError as error:
        return _refuse(error)
    sys.stdout.write(f"{found}\n")
    return 0


def _sweep(home: Path, *, kill: bool) -> int:
    from engine.execution.sweep import StillRunning, stop_all
    from engine.model.errors import EngineError, Unavailable
    from engine.store.files import FolderLock

    if not (home / "execution").is_dir():  # nothing ever ran here, and no folder is made to find that out
        return 0
    try:
        lock = FolderLock(home / "state")  # an engine that lives or begins keeps what it has started
        try:
            ended = stop_all(home, home / "run", kill)
        except StillRunning:
            hint = "`orchctl engine start` adopts them, `orchctl engine stop --kill` ends them"
            raise Unavailable(f"no engine runs in {home}, but attempts still do", hint) from None
        finally:
            lock.release()
    except EngineError as error:
        return _refuse(error)
    sys.stdout.writelines(f"{pid}\n" for pid in ended)
    return 0


def _refuse(error: "EngineError") -> int:
    sys.stderr.write(f"{error.sentence}\n" + (f"{error.hint}\n" if error.hint else ""))
    return error.exit_code


if __name__ == "__main__":
    os.umask(0o077)
    sys.exit(main())
