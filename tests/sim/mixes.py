"""Hosts and random mixes of tasks for the tests of admission: all kinds of claims, all kinds of knowledge of them."""

import math
import random

from engine.model.instants import SECOND
from engine.model.resources import Capacity, Claim
from tests.sim.admission import Arrival

CORES = tuple((number // 4, (number, number + 8)) for number in range(8))
GPUS = (("GPU-0", 0), ("GPU-1", 0), ("GPU-2", 1), ("GPU-3", 1))
HOST = Capacity(16_000, 1000, (("db", 3),), 500, GPUS, CORES)
"""Two nodes of four cores with two threads each, four GPUs."""


def any_claim(draw: random.Random) -> Claim:
    """Any claim that the host can meet, the widest as likely as the narrow."""
    cpu = draw.choice((0, 250, 500, 1000, 1000, 1000, 2000, 4000, 8000, 16_000))
    return Claim(
        cpu, draw.choice((0, 0, 0, 50, 200, 700, 1000)), draw.choice(((), (), (), (("db", 1),), (("db", 3),))),
        draw.choice((0, 0, 0, 0, 300, 500, 1000, 2000, 4000)), draw.choice((0, 0, 0, 100, 400)),
        draw.choice(((), (), (), ("m",))), draw.choice(("", "", "", "core", "node")) if cpu <= 8000 else "",
        draw.random() < 0.03,
    )  # fmt: skip


def usual_claim(draw: random.Random) -> Claim:
    """As hosts see them: most are narrow, one in ten or so takes half of something or more; none is exclusive."""
    cpu = draw.choices((0, 500, 1000, 2000, 4000, 8000, 16_000), (5, 20, 45, 18, 8, 3, 1))[0]
    return Claim(
        cpu, draw.choices((0, 20, 60, 200, 500, 1000), (35, 35, 20, 8, 1.5, 0.5))[0],
        draw.choices(((), (("db", 1),), (("db", 3),)), (90, 9.5, 0.5))[0],
        draw.choices((0, 300, 500, 1000, 2000, 4000), (80, 5, 5, 8, 1.5, 0.5))[0],
        draw.choices((0, 50, 200), (85, 14, 1))[0], draw.choices(((), ("m",), ("n",)), (94, 3, 3))[0],
        draw.choices(("", "core", "node"), (92, 4, 4))[0] if cpu <= 8000 else "",
    )  # fmt: skip


def wild(seed: int, tasks: int) -> list[Arrival]:
    """Owners, classes, backfills, bursts; history that is right, wrong, or not there."""
    draw = random.Random(seed)
    at, found = 0, list[Arrival]()
    for _ in range(tasks):
        at += int(draw.expovariate(1) * draw.choice((0, 0, 1, 1, 5)) * SECOND)
        takes = int(draw.choice((1, 1, 2, 5, 20, 60)) * SECOND * (0.5 + draw.random()))
        expected = draw.choice((0, takes, takes, takes, int(takes * (0.3 + 1.5 * draw.random()))))
        found.append(
            Arrival(
                at, takes, any_claim(draw), expected, draw.choice("abc"), draw.choice((0, 0, 0, 1)),
                draw.randrange(5), draw.random() < 0.1,
            )
        )  # fmt: skip
    return found


def usual(seed: int, tasks: int) -> list[Arrival]:
    """One class of three owners, more work than the host can do, history that is right to a fifth or so."""
    draw = random.Random(seed)
    at, found = 0, list[Arrival]()
    for _ in range(tasks):
        at += int(draw.expovariate(1) * SECOND)
        takes = int(math.exp(draw.uniform(0, math.log(120))) * SECOND)
        expected = 0 if draw.random() < 0.05 else int(takes * math.exp(draw.gauss(0, 0.2)))
        found.append(Arrival(at, takes, usual_claim(draw), expected, draw.choice("abc")))
    return found
