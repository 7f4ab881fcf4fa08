"""A million mutated frames against a server: `python -m tests.campaigns.fuzz_socket [frames] [seed]`.

The default test run sends a hundred thousand; this is the same with more, and prints what it did. It ends with an error
where the server stops, hangs, keeps memory, or serves another client no more.
"""

import sys
import time

import psutil
import trio

from engine.protocol.messages import GetEngine, Rows
from tests.adapters.server.fuzzing import fuzz
from tests.adapters.server.talk import site
from tests.adapters.server.test_hostile_clients import FAN, MIB

_RSS_GROWTH_MAX = 96 * MIB


async def campaign(count: int, seed: int) -> None:
    """Send so many frames to a server of its own and look after it. Raises where it does not hold."""
    async with site() as here:
        run = here.house.begin(FAN)
        before = psutil.Process().memory_info().rss
        began = time.monotonic()
        await fuzz(here, count, seed, run)
        grown = psutil.Process().memory_info().rss - before
        assert (await (await here.client()).ask(GetEngine(id=1), Rows)).rows
        await here.until_clients(1)
        took = time.monotonic() - began
        print(f"{count} frames, seed {seed}: {took:.0f} s, {count / took:.0f} a second, {grown / MIB:.1f} MiB more")
        assert grown < _RSS_GROWTH_MAX, "the server keeps memory"


if __name__ == "__main__":
    words = [int(word) for word in sys.argv[1:]]
    trio.run(campaign, words[0] if words else 1_000_000, words[1] if len(words) > 1 else 1)
