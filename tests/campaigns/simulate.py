"""Many seeds of the simulation: `python -m tests.campaigns.simulate 500 [--first SEED] [--steps N]`.

Prints a JSON line with the numbers at the end; a seed that finds a fault prints its story and the exit code is 1.
"""

import argparse
import json
import sys
import time
from collections import Counter

from tests.sim.world import Failure, World


def main() -> int:
    """Run the seeds one after the other. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seeds", type=int, nargs="?", default=500)
    parser.add_argument("--first", type=int, default=0, help="the first seed (0)")
    parser.add_argument("--steps", type=int, default=300, help="batches of chaos before a world is left alone (300)")
    options = parser.parse_args()
    began = time.monotonic()
    totals: Counter[str] = Counter()
    failed: list[int] = []
    for seed in range(options.first, options.first + options.seeds):
        world = World(seed, options.steps)
        try:
            world.run()
        except Failure as failure:
            failed.append(seed)
            print(failure, file=sys.stderr, flush=True)
        totals.update(world.counts)
    seconds = round(time.monotonic() - began, 1)
    print(json.dumps({"seeds": options.seeds, "failed": failed, **totals, "seconds": seconds}))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
