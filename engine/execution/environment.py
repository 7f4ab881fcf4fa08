"""What a process of an attempt is given: its words, its environment, its limits, as a launcher wants to read them.

The environment is a table that many attempts share, named by a digest of its content and sent once a connection, plus
the few variables that belong to one attempt.
"""

import json
from collections.abc import Mapping
from fnmatch import fnmatchcase
from hashlib import blake2b
from typing import Any

from msgspec.structs import asdict

from engine.core.effects import StartAttempt
from engine.model.campaign import NoiseLimits
from engine.model.resources import Binding
from engine.model.workflow import Command, Python, Quota, Shell

_BASE = ("PATH", "HOME", "USER", "SHELL", "LANG", "LC_*", "TZ", "TMPDIR")
_OWN_PREFIXES = ("PARAM_", "ORCHCTL_")
_CACHE_MAX = 1024

Table = tuple[str, dict[str, str]]


class Environments:
    """Makes the shared tables from the engine's own environment and what definitions declare."""

    def __init__(self, own: Mapping[str, str]) -> None:
        self._own = dict(own)
        self._cache: dict[tuple[tuple[tuple[str, str], ...], tuple[str, ...]], Table] = {}

    def table(self, order: StartAttempt) -> Table:
        """The digest and the content of what the attempt shares with others: no PARAM_* and no ORCHCTL_*."""
        declared = tuple(pair for pair in order.env if not pair[0].startswith(_OWN_PREFIXES))
        key = (declared, order.pass_env)
        found = self._cache.get(key)
        if found is None:
            if len(self._cache) >= _CACHE_MAX:
                self._cache.clear()
            globs = (*_BASE, *order.pass_env)
            content = {name: value for name, value in self._own.items() if _named(name, globs)} | dict(declared)
            digest = blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=12).hexdigest()
            found = self._cache[key] = (digest, content)
        return found


def _named(name: str, globs: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs)


def launcher_order(order: StartAttempt, table: Table, noise: NoiseLimits) -> dict[str, Any]:
    """The order in the launcher's words; see `launcher.Launcher`. `noise` are the host's limits of it."""
    wire: dict[str, Any] = {
        "attempt": order.attempt,
        "run": order.run,
        "workflow": order.workflow,
        "version": order.version,
        "task": order.task,
        "index": order.index,
        "number": order.number,
        "count": order.count,
        "dir": order.dir,
        "env": table[0],
        "extra": {name: value for name, value in order.env if name.startswith(_OWN_PREFIXES)} | _bound(order.binding),
        "cpus": order.binding.cpus,
        "wall_ns": order.quota.wall_ns,
        "memory": order.quota.memory_bytes,
        "processes": order.quota.processes,
        "log_bytes": order.quota.log_bytes,
        "limits": limits_of(order.quota) if order.quota.of_tree else {},
        "signal": order.stop.signal,
        "grace_ns": order.stop.grace_ns,
        "after": order.claim_from,
    }
    if order.on_success:
        wire["on_success"] = True
    if order.campaign is not None:
        patterns = [[metric.name, metric.regex] for metric in order.campaign.metrics if metric.regex]
        limits = asdict(noise.but(order.campaign.noise)) if order.campaign.trials else None
        wire["measure"] = {"patterns": patterns, "noise": limits}
    if isinstance(order.action, Python):
        wire["python"] = {
            "target": order.action.target,
            "folder": order.folder or order.dir,
            "args": order.action.args,
            "columns": dict(order.columns),
            "interpreter": order.action.interpreter,
            "isolate": order.action.isolate,
            "script": order.action.target.endswith(".py"),
        }
    else:
        wire["argv"] = words_of(order.action)
    return wire


def limits_of(quota: Quota) -> dict[str, int | bool]:
    """What the quota says of the tree beside its memory and its processes; only what is written."""
    named = {
        "threads": quota.threads, "cpu_time": quota.cpu_ns, "cpu": quota.cpu_milli, "open_files": quota.open_files,
        "disk": quota.disk_bytes, "silence": quota.silence_ns, "log_stop": quota.on_log == "stop",
    }  # fmt: skip
    return {name: value for name, value in named.items() if value}


def _bound(binding: Binding) -> dict[str, str]:
    """How a process is told of what is its own."""
    own: dict[str, str] = {}
    if binding.cpus:
        own["ORCHCTL_CPUS"] = ",".join(map(str, binding.cpus))
    if binding.gpus:
        own["CUDA_VISIBLE_DEVICES"] = ",".join(uuid for uuid, _ in binding.gpus)
    return own


def words_of(action: Command | Shell) -> list[str]:
    """The words to execute. That a text needs no shell was seen when the definition was read: it is a Command then."""
    if isinstance(action, Command):
        return list(action.argv)
    return ["bash", "-e", "-o", "pipefail", "-c", action.script] if action.bash else ["sh", "-e", "-c", action.script]
