"""Random small workflows that use everything the machine knows."""

from random import Random
from typing import Any

from engine.model.campaign import Campaign
from engine.model.instants import MINUTE, SECOND
from engine.model.resources import Claim
from engine.model.workflow import Param, Python, Retry, Schedule, Workflow
from tests.sim.oracle import RULES
from tests.support.builders import Piece, flow, task

SHARED_POOLS = {"shared": 2}
GIB = 2**30


def random_workflow(rng: Random, name: str, *, rush: bool = False) -> Workflow:
    """One to eight tasks, or a chain of more; every need names an earlier task. In a rush all want CPUs, and some are
    in a hurry.
    """
    pieces: list[Piece] = _chain(rng) if not rush and rng.random() < 0.5 else []
    for number in range(len(pieces), len(pieces) + (rng.randint(0, 2) if pieces else rng.randint(1, 8))):
        pieces.append(_task(rng, f"t{number}", pieces, rush=rush))
    if len(pieces) > 1 and rng.random() < 0.3:
        pieces.append(_teardown(rng, pieces))
    fields: dict[str, Any] = {
        "pools": (("own", rng.randint(1, 3)),),
        "params": (Param("flag", "boolean", default=True),),
        "durability": rng.choice(("strict", "strict", "relaxed")),
    }
    if rng.random() < 0.5:
        fields |= {
            "schedules": tuple(
                Schedule(interval_ns=rng.choice((20, 45, 120)) * SECOND) for _ in range(rng.randint(1, 2))
            ),
            "catch_up": rng.choice(("none", "last", "all")),
            "if_running": rng.choice(("skip", "queue_one", "queue_all", "cancel", "kill", "allow")),
        }
    return flow(*pieces, name=name, **fields)


def _chain(rng: Random) -> list[Piece]:
    """Tasks that need the one before, some of them another one too."""
    fields: dict[str, Any] = {"claim": Claim(1000), "retry": Retry(limit=rng.randint(0, 1))}
    pieces: list[Piece] = []
    for number in range(rng.randint(3, 12)):
        others = rng.sample(range(number), k=1) if number and rng.random() < 0.2 else []
        needs = sorted({number - 1, *others}) if number else []
        pieces.append(task(f"t{number}", *(f"t{need}" for need in needs), **fields))
    return pieces


def _task(rng: Random, name: str, earlier: list[Piece], *, rush: bool) -> Piece:
    needs = rng.sample([piece.task.name for piece in earlier], k=rng.randint(0, min(3, len(earlier))))
    by_name = {piece.task.name: piece.task for piece in earlier}
    fields: dict[str, Any] = _policy(rng, has_needs=bool(needs)) | (_hurry(rng) if rush else {})
    plain = [need for need in needs if not by_name[need].mapped]
    lists = [need for need in needs if isinstance(by_name[need].for_each, list) and by_name[need].for_each]
    words: list[str] = list(needs)
    if lists and rng.random() < 0.6:
        fields["for_each"] = by_name[lists[0]].for_each
        if rng.random() < 0.1:
            fields["for_each"] = [*fields["for_each"], 99]
        words = [f"{need}[i]" if need == lists[0] else need for need in needs]
    elif rng.random() < 0.4:
        fields["for_each"] = rng.choice(
            ([1, 2, 3], ["x"], [], "{{ range(4) }}", *(f"{{{{ needs.{need}.result }}}}" for need in plain))
        )
    if rng.random() < 0.15:
        fields["action"] = Python("m:f", {"x": "{{ 12 // (item - 3) }}" if rng.random() < 0.1 else "{{ item }}"})
        fields["for_each"] = "{{ range(24) }}" if rng.random() < 0.7 else fields.get("for_each", [1, 2, 3, 4, 5, 6])
        words = list(needs)
    if "for_each" not in fields and rng.random() < 0.15:
        levels = rng.choice(([1], [1, "x"], *(f"{{{{ needs.{need}.result }}}}" for need in plain)))
        fields["campaign"] = Campaign(
            matrix=(("level", levels),), trials=rng.randint(1, 3), warmups=rng.randint(0, 1),
            order=rng.choice(("interleaved", "random", "sequential")), repeat_noisy=rng.randint(0, 2),
        )  # fmt: skip
    if "for_each" in fields or "campaign" in fields:
        fields |= {
            "max_parallel": rng.choice((0, 0, 1, 2)),
            "tolerate": rng.choice((0, 0, 1)),
            "tolerate_percent": rng.choice((0.0, 50.0)),
        }
    if rng.random() < 0.2:
        fields["when"] = rng.choice(
            ("params.flag", "not params.flag", *(f"needs.{need}.status == 'succeeded'" for need in needs), "1 / 0 == 1")
        )
    if rng.random() < 0.05:
        fields["dir"] = "{{ nothing.at.all }}"
    return task(name, *words, setup=rng.random() < 0.1, **fields)


def _policy(rng: Random, *, has_needs: bool) -> dict[str, Any]:
    pools = rng.choice(((), (), (("own", 1),), (("shared", 1),), (("own", 1), ("shared", 2))))
    grow = (("memory", 2.0),)
    return {
        "claim": Claim(
            rng.choice((0, 500, 1000, 2000)),
            rng.choice((0, GIB)),
            pools,
            mutexes=("m",) if rng.random() < 0.1 else (),
            exclusive=rng.random() < 0.03,
        ),
        "priority": rng.choice((0, 0, 1, -1)),
        "preemption": rng.choice(("never", "requeue", "suspend")),
        "on_pause": rng.choice(("release", "release", "keep")),
        "on_lost": rng.choice(("rerun", "rerun", "hold")),
        "trigger_rule": rng.choice(RULES) if has_needs and rng.random() < 0.5 else "all_success",
        "retry": rng.choice(
            (
                Retry(),
                Retry(limit=2),
                Retry(limit=3, delay_ns=5 * SECOND, backoff=2.0, jitter="full", grow=grow),
                Retry(limit=1, delay_ns=MINUTE, jitter="equal", on=("failed",)),
                Retry(limit=1, exit_codes=(2,)),
            )
        ),
    }


def _hurry(rng: Random) -> dict[str, Any]:
    mutexes = ("m",) if rng.random() < 0.25 else ()
    return {
        "claim": Claim(rng.choice((1000, 2000)), mutexes=mutexes),
        "priority": rng.randint(-2, 2),
        "preemption": rng.choice(("suspend", "suspend", "requeue")),
    }


def _teardown(rng: Random, earlier: list[Piece]) -> Piece:
    setup = rng.choice(earlier).task.name
    others = [piece.task.name for piece in earlier if piece.task.name != setup]
    rule = rng.choice(("all_done", "all_done_setup_success", "always", "one_failed"))
    return task(
        "undo", *rng.sample(others, k=min(len(others), 2)), teardown_for=(setup,), trigger_rule=rule,
        retry=Retry(limit=rng.randint(0, 1)),
    )  # fmt: skip
