"""A WfCommons instance (WfFormat 1.5: the trace of one execution) as a workflow that takes the recorded time again.

An instance has the tasks twice: `workflow.specification.tasks` with the edges, `workflow.execution.tasks`
with what was measured. Each becomes one task that sleeps or burns CPU for the recorded time times a factor,
claims the recorded cores and memory, and needs its parents. Edges may be written at the parent, at the
child, or at both.

The text is put together line by line from JSON strings, which are YAML too. So no name or id can break out
of its place, and the work is linear in the size of the instance.
"""

import gzip
import math
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, cast

import msgspec

from engine.model.errors import NotFound, ValueFault
from engine.model.ids import is_name

Work = Literal["sleep", "cpu"]

INSTANCE_BYTES_MAX = 256 * 2**20
_NAME_LENGTH_MAX = 128
_GZIP_MAGIC = b"\x1f\x8b"

# Ends when the process, its start included, has used that much CPU time: exact, while a loop by the wall
# clock uses less on a busy host. It needs a python3 on the task's PATH, and no file beside the workflow.
_BURN_ONE = "import time\nwhile time.process_time() < {seconds}: pass"
# The same on several cores: a process for each, as threads of one interpreter would share a core.
_BURN_MANY = """\
import os, sys, time
for _ in range({cores} - 1):
    if os.fork() == 0:
        break
while time.process_time() < {seconds}: pass
status = 0
while True:
    try:
        status |= os.wait()[1]
    except ChildProcessError:
        sys.exit(status != 0)"""


class _Specified(msgspec.Struct):
    id: str | int
    parents: list[str | int] = []
    children: list[str | int] = []


class _Executed(
    msgspec.Struct, rename={"runtime_s": "runtimeInSeconds", "cores": "coreCount", "memory": "memoryInBytes"}
):
    id: str | int
    runtime_s: float = 0.0
    cores: float | None = None
    memory: float | None = None


class _Specification(msgspec.Struct):
    tasks: list[_Specified]


class _Execution(msgspec.Struct):
    tasks: list[_Executed]


class _Workflow(msgspec.Struct):
    specification: _Specification
    execution: _Execution


class _Instance(msgspec.Struct, rename={"schema_version": "schemaVersion"}):
    workflow: _Workflow
    name: str = ""
    schema_version: str = ""


def read_instance(path: Path) -> dict[str, Any]:
    """The JSON object in a file, which may be compressed by gzip.

    Raises NotFound, or ValueFault where the file is no JSON object or larger than 256 MiB once unpacked.
    """
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == _GZIP_MAGIC
            raw.seek(0)
            stream = gzip.GzipFile(fileobj=raw) if packed else raw
            data = stream.read(INSTANCE_BYTES_MAX + 1)
    except FileNotFoundError as error:
        raise NotFound(f"{path}: there is no such file") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueFault(f"{path}: the compressed data is damaged: {error}") from error
    except OSError as error:
        raise ValueFault(f"{path}: it cannot be read: {error.strerror}") from error
    if len(data) > INSTANCE_BYTES_MAX:
        raise ValueFault(f"{path}: it is larger than {INSTANCE_BYTES_MAX >> 20} MiB")
    try:
        decoded = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueFault(f"{path}: it is not JSON: {error}") from error
    if not isinstance(decoded, dict):
        raise ValueFault(f"{path}: a WfCommons instance is a JSON object")
    return cast(dict[str, Any], decoded)


def name_for(path: Path) -> str:
    """A workflow name from the name of an instance's file."""
    return _fitting(re.sub(r"\.json(\.gz)?$", "", path.name), "instance")


def convert(instance: dict[str, Any], *, time_scale: float, work: Work, name: str) -> str:
    """The YAML text of a workflow whose tasks take the recorded time multiplied by `time_scale`.

    With work `sleep` a task waits for that time, with `cpu` it uses that much CPU time on each core that it
    claims. A task without a recorded time takes none. Ids stay where they can name a task. Raises
    ValueFault, which says where in the instance the fault is.
    """
    if not is_name(name):
        raise ValueFault(f"{name!r} cannot name a workflow", "use letters, digits, dots, dashes and underscores")
    if not (math.isfinite(time_scale) and time_scale >= 0):
        raise ValueFault(f"a time scale of {time_scale} makes no sense", "write a number such as 0.01")
    decoded = _decode(instance)
    tasks = decoded.workflow.specification.tasks
    if not tasks:
        raise ValueFault("$.workflow.specification.tasks: the instance has no tasks")
    names = _names(tasks)
    measured = _measured(decoded.workflow.execution.tasks, names)
    parents = _parents(tasks, names)
    lines = [*_head(decoded, name, time_scale, work, len(names.keys() - measured.keys())), "tasks:"]
    for id_, task_name in names.items():
        needs = [names[parent] for parent in parents[id_]]
        lines += _task(task_name, needs, measured.get(id_), time_scale, work)
    return "\n".join(lines) + "\n"


def _decode(instance: dict[str, Any]) -> _Instance:
    try:
        return msgspec.convert(instance, _Instance)
    except msgspec.ValidationError as error:
        version = instance.get("schemaVersion")
        hint = "" if version == "1.5" else f"WfFormat 1.5 is understood; this one says {str(version)[:20]!r}"
        raise ValueFault(f"not a WfFormat instance: {error}", hint) from error


def _head(instance: _Instance, name: str, time_scale: float, work: Work, unmeasured: int) -> Iterator[str]:
    yield f"# Imported from a WfCommons instance: recorded times multiplied by {time_scale:g}, work: {work}."
    if unmeasured:
        yield f"# {unmeasured} tasks have no recorded execution: they take no time."
    yield f"name: {_quoted(name)}"
    if instance.name:
        yield f"description: {_quoted('WfCommons instance ' + instance.name[:500])}"
    yield 'tags: ["wfcommons"]'


def _task(name: str, needs: list[str], executed: _Executed | None, time_scale: float, work: Work) -> Iterator[str]:
    runtime_s = executed.runtime_s * time_scale if executed else 0.0
    cores = executed.cores if executed and executed.cores else 1.0
    yield f"  {_quoted(name)}:"
    command = ["sleep", _decimal(runtime_s)] if work == "sleep" else _burn(runtime_s, cores)
    yield f"    run: [{', '.join(map(_quoted, command))}]"
    if needs:
        yield f"    needs: [{', '.join(map(_quoted, needs))}]"
    claim = f"cpu: {_decimal(cores)}"
    if executed and executed.memory:
        claim += f", memory: {math.ceil(executed.memory)}"
    yield f"    claim: {{{claim}}}"


def _burn(runtime_s: float, cores: float) -> list[str]:
    program = _BURN_ONE if cores <= 1 else _BURN_MANY
    return ["python3", "-S", "-c", program.format(seconds=_decimal(runtime_s), cores=math.ceil(cores))]


def _names(tasks: list[_Specified]) -> dict[str, str]:
    """The task name of each id, in the order of the instance; ids that fit keep themselves."""
    ids = [str(task.id) for task in tasks]
    taken = {id_ for id_ in ids if is_name(id_)}
    names: dict[str, str] = {}
    next_number: dict[str, int] = {}
    for place, id_ in enumerate(ids):
        if id_ in names:
            raise ValueFault(f"$.workflow.specification.tasks[{place}].id: there are two tasks {_shown(id_)}")
        found = id_
        if not is_name(id_):
            stem = _fitting(id_, "task")
            found, number = stem, next_number.get(stem, 2)
            while found in taken:
                suffix = f"-{number}"
                found, number = stem[: _NAME_LENGTH_MAX - len(suffix)] + suffix, number + 1
            next_number[stem] = number
            taken.add(found)
        names[id_] = found
    return names


def _measured(tasks: list[_Executed], names: dict[str, str]) -> dict[str, _Executed]:
    measured: dict[str, _Executed] = {}
    for place, task in enumerate(tasks):
        where = f"$.workflow.execution.tasks[{place}]"
        id_ = str(task.id)
        if id_ not in names:
            raise ValueFault(f"{where}.id: {_shown(id_)} is not among the specified tasks")
        if id_ in measured:
            raise ValueFault(f"{where}.id: {_shown(id_)} was executed twice")
        values = {
            "runtimeInSeconds": task.runtime_s,
            "coreCount": task.cores,
            "memoryInBytes": task.memory,
        }
        for field, value in values.items():
            if value is not None and not (math.isfinite(value) and 0 <= value < 2**62):
                raise ValueFault(f"{where}.{field}: {value} is out of range")
        measured[id_] = task
    return measured


def _parents(tasks: list[_Specified], names: dict[str, str]) -> dict[str, dict[str, None]]:
    """The parents of each id, each once, in the order in which they are written."""
    parents: dict[str, dict[str, None]] = {id_: {} for id_ in names}
    for place, task in enumerate(tasks):
        id_ = str(task.id)
        for field, others in (("parents", task.parents), ("children", task.children)):
            for other in map(str, others):
                if other not in names:
                    where = f"$.workflow.specification.tasks[{place}].{field}"
                    raise ValueFault(f"{where}: {_shown(other)}, named by {_shown(id_)}, is no task of the instance")
                child, parent = (id_, other) if field == "parents" else (other, id_)
                parents[child][parent] = None
    return parents


def _fitting(text: str, instead: str) -> str:
    """The text with what a name cannot hold replaced, so that it can be one."""
    cleaned = re.sub(r"[^A-Za-z0-9._-]+", "_", text).lstrip("._-")
    return cleaned[:_NAME_LENGTH_MAX] or instead


def _quoted(text: str) -> str:
    """A JSON string that YAML reads alike: the unprintable becomes a blank, `{{` opens no expression."""
    printable = "".join(char if char.isprintable() or char == "\n" else " " for char in text)
    return msgspec.json.encode(printable.replace("{{", "{ {")).decode()


def _shown(id_: str) -> str:
    return repr(id_[:80])


def _decimal(value: float) -> str:
    """A decimal number without an exponent, to the microsecond."""
    return f"{value:.6f}".rstrip("0").rstrip(".")
