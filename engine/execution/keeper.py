"""The keeper: parent of launchers and meter, and the one that cleans up after those that died.

It is started by an engine and outlives it. A subreaper, so everything below a launcher that dies becomes its own child.
When a launcher dies, its tree is killed and reaped first, whatever left it is found by cookie, and only then is the
next launcher of that slot started: it finds in the spool what was running, and reports it as lost. A keeper that takes
over from a dead one adopts the launchers that live (their lock is held) and cleans up after those that do not.
"""

import contextlib
import fcntl
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from engine.execution import cgroups, proc, spool, trees
from engine.execution.diary import bound_diary
from engine.execution.loop import Loop, Peer
from engine.execution.places import Places
from engine.execution.resident import begin, holder_of, serve_until_stopped
from engine.execution.spawn import SpawnError, spawn
from engine.execution.wire import Message, connect

ROOT = str(Path(__file__).resolve().parents[2])
_BOOT = "import sys; sys.path.insert(0, sys.argv[1]); __import__(sys.argv[2], fromlist=['main']).main(sys.argv[3:])"
_SWEEP_AGAIN_S = 0.02
_RESTART_PAUSE_S = 0.05
_RESTART_PAUSE_MAX_S = 5.0
_STEADY_S = 10.0
_COMPLAINTS_MAX = 5
_FORGIVEN_S = 30.0
_COMPILE_S = 30.0
_COMPILE_BYTES = 2**30
_OUTPUT_BYTES = 64 * 2**20
_COMPILE_COOKIE = 1 << 38


def command(module: str, *words: str, site: bool = False) -> list[str]:
    """How one of our own processes is started: isolated from the user's Python settings."""
    return [sys.executable, "-I", *([] if site else ["-S"]), "-c", _BOOT, ROOT, f"engine.execution.{module}", *words]


class Charge:
    """A process in the keeper's care. `slot` is negative for the meter."""

    def __init__(self, name: str, slot: int) -> None:
        self.name = name
        self.slot = slot
        self.pid = 0
        self.started = 0.0
        self.pause_s = _RESTART_PAUSE_S
        self.adopted_fd = -1
        self.complaints = 0
        self.complained = 0.0


class Keeper:
    """The charges and what becomes of them. It has a single thread."""

    def __init__(self, loop: Loop, places: Places, instance: int, launchers: int) -> None:
        self._loop = loop
        self._places = places
        self._instance = instance
        self._charges: dict[str, Charge] = {}
        self._listeners: set[Peer] = set()
        self._compiling: dict[int, Callable[[int], None]] = {}
        self._compiled = 0
        self._leaving: Peer | None = None
        loop.on_child(self._reap)
        self._meter = self._charges["meter"] = Charge("meter", -1)
        for slot in sorted({*range(launchers), *places.slots()}):
            self._charges[f"launcher-{slot}"] = Charge(f"launcher-{slot}", slot)
        found = [self._adopt(charge) for charge in self._charges.values()]
        for charge, lives in zip(list(self._charges.values()), found, strict=True):
            if not lives:
                self._clean_up(charge)

    # --- messages -------------------------------------------------------------------------------------------------

    def on_message(self, peer: Peer, message: Message) -> None:
        """`status`, `hello` (follow changes), `compile`, `silent`, `shutdown`."""
        kind = message[0]
        if kind == "hello":
            self._hello(peer, message[1], message[2])
        elif kind == "status":
            peer.send(["status", self._status()])
        elif kind == "compile":
            self._compile(peer, message[1], message[2], message[3])
        elif kind == "silent":
            self._wake_or_end(self._charges.get(f"launcher-{message[1]}"))
        elif kind == "shutdown":
            self._shutdown(peer, bool(message[1]))

    def on_close(self, peer: Peer) -> None:
        self._listeners.discard(peer)

    def _hello(self, peer: Peer, instance: int, launchers: int) -> None:
        """An engine follows; the launchers themselves notice when it is of another instance."""
        self._instance = instance
        for slot in range(launchers):
            if f"launcher-{slot}" not in self._charges:
                charge = self._charges[f"launcher-{slot}"] = Charge(f"launcher-{slot}", slot)
                self._clean_up(charge)
        self._listeners.add(peer)
        peer.send(["status", self._status()])

    def _status(self) -> dict[str, Any]:
        launchers = {str(one.slot): one.pid for one in self._charges.values() if one.slot >= 0}
        return {"pid": os.getpid(), "meter": self._meter.pid, "launchers": launchers}

    def _tell(self) -> None:
        for peer in list(self._listeners):
            peer.send(["status", self._status()])

    # --- starting and adopting ----------------------------------------------------------------------------------------

    def _start(self, charge: Charge) -> None:
        folders = [str(self._places.home), str(self._places.run_dir), str(self._places.logs)]
        if charge.slot < 0:
            words = command("meter", *folders, site=True)
        else:
            words = command("launcher", *folders, str(charge.slot), str(self._instance))
        with open(self._places.diary, "ab") as diary:
            try:
                charge.pid = spawn(words, env=dict(os.environ), output=diary.fileno(), folder="/")
            except SpawnError as error:
                self._say(f"{charge.name} cannot be started: {error}")
                self._loop.later(charge.pause_s, lambda: self._start(charge))
                return
        charge.started = time.monotonic()
        charge.complaints = 0
        self._tell()

    def _adopt(self, charge: Charge) -> bool:
        """Whether the process that serves this charge lives, as a child of somebody else."""
        path = self._places.lock(charge.name)
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
        except BlockingIOError:
            pid, ticks = holder_of(os.pread(fd, 64, 0))
        finally:
            os.close(fd)
        return self._follow(charge, pid, ticks)

    def _follow(self, charge: Charge, pid: int, ticks: int) -> bool:
        try:
            handle = os.pidfd_open(pid)
        except (OSError, ValueError):
            return False
        if proc.start_ticks(pid) != ticks:
            os.close(handle)
            return False
        charge.pid, charge.adopted_fd, charge.started = pid, handle, time.monotonic()
        self._loop.watch(handle, lambda: self._adopted_died(charge))
        self._say(f"adopted {charge.name}, pid {pid}")
        self._tell()
        return True

    def _adopted_died(self, charge: Charge) -> None:
        self._loop.forget(charge.adopted_fd)
        os.close(charge.adopted_fd)
        charge.adopted_fd = -1
        self._died(charge, "ended")

    def _wake_or_end(self, charge: Charge | None) -> None:
        """An engine asks a launcher in vain. It may have been stopped, and is continued; one that does not come back is
        killed, and the next of its slot says what was lost."""
        if charge is None or not charge.pid:
            return
        now = time.monotonic()
        charge.complaints = 1 if now - charge.complained > _FORGIVEN_S else charge.complaints + 1
        charge.complained = now
        number = signal.SIGCONT if charge.complaints < _COMPLAINTS_MAX else signal.SIGKILL
        self._say(f"{charge.name}, pid {charge.pid}, does not answer: {number.name}")
        with contextlib.suppress(OSError):
            if charge.adopted_fd >= 0:
                signal.pidfd_send_signal(charge.adopted_fd, number)
            else:
                os.kill(charge.pid, number)

    # --- the dead -----------------------------------------------------------------------------------------------------

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid in self._compiling:
                self._compiling.pop(pid)(status)
                continue
            for charge in self._charges.values():
                if charge.pid == pid and charge.adopted_fd < 0:
                    self._died(charge, f"ended with {os.waitstatus_to_exitcode(status)}")

    def _died(self, charge: Charge, how: str) -> None:
        self._say(f"{charge.name}, pid {charge.pid}, {how}")
        charge.pid = 0
        if self._leaving is not None:
            self._leave_if_alone()
            return
        steady = time.monotonic() - charge.started > _STEADY_S
        charge.pause_s = _RESTART_PAUSE_S if steady else min(_RESTART_PAUSE_MAX_S, charge.pause_s * 2)
        self._clean_up(charge)

    def _clean_up(self, charge: Charge) -> None:
        """End everything that the dead one left, then start the next. Children of ours that are nobody's charge are
        orphans of a dead launcher; what was orphaned elsewhere carries a cookie that no living launcher knows."""
        if self._leaving is not None or charge.pid or self._adopt(charge):
            return
        instances = self._instances()
        if charge.slot >= 0 and (self._kill_orphans() + cgroups.clear(instances, charge.slot)):
            self._loop.later(_SWEEP_AGAIN_S, lambda: self._clean_up(charge))
            return
        pause = 0.0 if charge.pause_s <= 2 * _RESTART_PAUSE_S else charge.pause_s
        self._loop.later(pause, lambda: None if charge.pid else self._start(charge))

    def _kill_orphans(self) -> int:
        """The number of processes that are still there."""
        own = {charge.pid for charge in self._charges.values()} | set(self._compiling)
        orphans = set(proc.children(os.getpid())) - own
        tree = trees.Tree(orphans, set(), 0, 0)
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in orphans:
                with contextlib.suppress(OSError):
                    os.kill(pid, number)
        below = len(tree.members())
        return below + sum(self._sweep(instance) for instance in self._instances())

    def _instances(self) -> set[int]:
        found = {spool.instance_of(self._places.spool(slot)) for slot in self._places.slots()}
        return (found | {self._instance}) - {0}

    def _sweep(self, instance: int) -> int:
        """Processes are listed before the spools are read: an intent is written before its process starts, so whatever
        was listed and belongs to a living launcher is in its spool."""
        listed = proc.marked(instance)
        spare: set[int] = set()
        safe = {os.getpid()}
        for charge in self._charges.values():
            if charge.pid and charge.slot >= 0:
                spare |= spool.unfinished(self._places.spool(charge.slot), instance)
                safe.update(proc.descendants([charge.pid]))
        safe.update(proc.descendants(self._compiling))
        return trees.sweep(instance, listed, spare, safe)

    # --- definitions in Python ----------------------------------------------------------------------------------------

    def _compile(self, peer: Peer, ticket: int, words: list[str], folder: str) -> None:
        """Run a compiler of definitions: one process, 30 s, 1 GiB; its output goes to a file that the asker removes."""
        self._compiled += 1
        number = _COMPILE_COOKIE | self._compiled
        path = self._places.state / f"compiled-{os.getpid()}-{self._compiled}.out"
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            peer.send(["compiled", ticket, {"status": -1, "why": str(error), "path": ""}])
            return
        try:
            cookie = proc.cookie_of(self._instance, number)
            pid = spawn(words, env=dict(os.environ), output=fd, folder=folder, cookie=cookie)
        except SpawnError as error:
            path.unlink(missing_ok=True)
            peer.send(["compiled", ticket, {"status": -1, "why": str(error), "path": ""}])
            return
        finally:
            os.close(fd)
        _limit(pid)
        late = self._loop.later(_COMPILE_S, lambda: trees.kill(trees.Tree({pid}, set(), pid, cookie)))

        def ended(status: int) -> None:
            late.cancel()
            why = f"it took longer than {_COMPILE_S:g} s" if late.due <= time.monotonic() else ""
            peer.send(["compiled", ticket, {"status": status, "why": why, "path": str(path)}])
            self._kill_orphans()

        self._compiling[pid] = ended

    # --- leaving ------------------------------------------------------------------------------------------------------

    def _shutdown(self, peer: Peer, kill: bool) -> None:
        """End launchers, workers, meter, and then this process. Launchers that still run attempts refuse, unless
        `kill`; then nothing is ended but what had nothing to do."""
        self._leaving = peer
        for charge in self._charges.values():
            if charge.pid:
                self._ask_to_leave(charge, kill)
        self._leave_if_alone()

    def _ask_to_leave(self, charge: Charge, kill: bool) -> None:
        try:
            sock = connect(self._places.socket(charge.name))
        except OSError:
            self._loop.later(_SWEEP_AGAIN_S, lambda: self._ask_to_leave(charge, kill) if charge.pid else None)
            return
        Peer(self._loop, sock, self._answered, lambda _peer: None).send(["shutdown", kill])

    def _answered(self, _peer: Peer, message: Message) -> None:
        if message[0] == "busy" and self._leaving is not None:
            leaving, self._leaving = self._leaving, None
            leaving.send(["busy", message[1]])
            for charge in self._charges.values():
                if not charge.pid:
                    self._clean_up(charge)

    def _leave_if_alone(self) -> None:
        if self._leaving is None or any(charge.pid for charge in self._charges.values()):
            return
        if self._kill_orphans() + cgroups.clear(self._instances()):
            self._loop.later(_SWEEP_AGAIN_S, self._leave_if_alone)
            return
        self._leaving.send(["bye"])
        self._loop.stop()

    def _say(self, text: str) -> None:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        bound_diary(self._places.diary)
        with contextlib.suppress(OSError):
            sys.stderr.write(f"{stamp} keeper: {text}\n")
            sys.stderr.flush()


def _limit(pid: int) -> None:
    with contextlib.suppress(OSError, ValueError):
        resource.prlimit(pid, resource.RLIMIT_AS, (_COMPILE_BYTES, _COMPILE_BYTES))
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (_OUTPUT_BYTES, _OUTPUT_BYTES))


def main(words: list[str]) -> NoReturn:
    """`keeper HOME RUN_DIR LOGS INSTANCE LAUNCHERS`: serve until told to end; exit 3 when another keeper lives."""
    places = Places(Path(words[0]), Path(words[1]), Path(words[2]))
    places.prepare()
    os.chdir("/")
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    begin(places.lock("keeper"))
    loop = Loop()
    keeper = Keeper(loop, places, int(words[3]), int(words[4]))
    serve_until_stopped(loop, places.socket("keeper"), keeper.on_message, keeper.on_close)
