"""The programs that we compare with: a file each, called as their documents advise, with as many slots as we have."""

import importlib
from collections.abc import Iterable

from benchmarks.peers.kit import Absent, Peer, Settings

NAMES = ("make", "ninja", "xargs", "parallel", "doit", "luigi", "hyperqueue", "ray", "dask", "parsl", "pool")


def find(names: Iterable[str], question: str, settings: Settings) -> tuple[list[Peer], list[str]]:
    """The peers that answer a kind of question and are installed, and a sentence for each that is not."""
    found: list[Peer] = []
    missing: list[str] = []
    for name in names:
        peer: Peer = importlib.import_module(f"benchmarks.peers.{name}").PEER
        if question not in peer.questions:
            continue
        try:
            peer.version(settings)
        except Absent as why:
            missing.append(f"{name} is left out: {why}")
        else:
            found.append(peer)
    return found, missing
