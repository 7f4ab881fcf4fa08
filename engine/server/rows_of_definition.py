"""What a task of a run is to do: its command, surroundings, claim and quota, and its neighbours.

The environment is shown without its secrets: a value whose name says that it is one never leaves the engine, whatever
the client's role.
"""

import re
from typing import Any

from engine.core.state import RunState
from engine.model.instants import SECOND
from engine.model.resources import Claim
from engine.model.workflow import QUOTA_FIELDS, Action, Command, Python, Quota, Retry, Shell
from engine.protocol.rows import SpecRow
from engine.server.packing import short_map, short_text

HIDDEN = "(hidden)"
_SECRET = re.compile(r"TOKEN|SECRET|PASSW|PASSPHRASE|KEY|CREDENTIAL|AUTH", re.IGNORECASE)
_NEIGHBOURS_SHOWN = 200
_NAMES_SHOWN = 500
_QUOTA_FIELDS = {"wall": "wall_ns", "cpu": "cpu_milli", **QUOTA_FIELDS}
_UNITS = {"ns": SECOND, "milli": 1000}


def spec_row(run: RunState, task: int) -> SpecRow:
    """One task as it is defined, and as its neighbours stand now."""
    spec, policy, plan = run.plan.tasks[task], run.plan.policy(task), run.plan
    ups, downs, paired = plan.ups(task), plan.downs(task), set(plan.paired(task))
    return SpecRow(
        task=spec.name, kind=type(spec.action).__name__.lower(), lines=short_text(_text(spec.action)).split("\n"),
        args=short_map(_without_secrets(spec.action.args)) if isinstance(spec.action, Python) else {},
        dir=policy.dir or plan.workflow.source.folder, env=_environment(policy.env),
        pass_env=policy.pass_env[:_NAMES_SHOWN],
        claim=claim_map(policy.claim), quota=_quota(policy.quota), retry=_retry(policy.retry),
        trigger_rule=policy.trigger_rule, when=short_text(spec.when), priority=run.priority(task),
        description=short_text(spec.description), owner=spec.owner or run.owner, outputs=spec.outputs[:_NAMES_SHOWN],
        mapped=spec.mapped, max_parallel=run.max_parallel(task),
        upstream=[_neighbour(run, up, up in paired) for up in ups[:_NEIGHBOURS_SHOWN]],
        upstream_total=len(ups),
        downstream=[_neighbour(run, down, task in plan.paired(down)) for down in downs[:_NEIGHBOURS_SHOWN]],
        downstream_total=len(downs),
    )  # fmt: skip


def claim_map(claim: Claim) -> dict[str, Any]:
    """A claim in the units that clients see."""
    return {
        "cpu": claim.cpu_milli / 1000, "memory": claim.memory_bytes, "pools": dict(claim.pools),
        "gpu": claim.gpu_milli / 1000, "scratch": claim.scratch_bytes, "mutexes": claim.mutexes,
        "pin": claim.pin, "exclusive": claim.exclusive,
    }  # fmt: skip


def _text(action: Action) -> str:
    match action:
        case Command():
            return " ".join(map(_word, action.argv))
        case Shell():
            return action.script
        case Python():
            return action.target


def _word(word: str) -> str:
    """A word of a command, quoted where blanks would hide where it ends."""
    return repr(word) if not word or any(letter.isspace() for letter in word) else word


def _environment(env: tuple[tuple[str, str], ...]) -> dict[str, str]:
    shown = env[:_NAMES_SHOWN]
    return {name: HIDDEN if _SECRET.search(name) else short_text(value) for name, value in shown}


def _without_secrets(args: dict[str, Any]) -> dict[str, Any]:
    return {name: HIDDEN if _SECRET.search(name) else value for name, value in args.items()}


def _quota(quota: Quota) -> dict[str, float]:
    """What was written, by the names of the definition: seconds, bytes, CPUs and counts."""
    found: dict[str, float] = {}
    for name, field in _QUOTA_FIELDS.items():
        value = getattr(quota, field)
        if value:
            unit = _UNITS.get(field.rpartition("_")[2])
            found[name] = value / unit if unit else value
    return found


def _retry(retry: Retry) -> dict[str, Any]:
    if not retry.limit:
        return {}
    return {"limit": retry.limit, "delay": retry.delay_ns / SECOND, "backoff": retry.backoff, "on": retry.on}


def _neighbour(run: RunState, task: int, paired: bool) -> dict[str, Any]:
    return {
        "task": run.plan.names[task], "status": run.task_status(task).text, "mapped": run.plan.tasks[task].mapped,
        "paired": paired,
    }  # fmt: skip
