"""The process that holds a service peer: `python -m benchmarks.peers.driver NAME SLOTS`.

It starts the service, warms it up, answers {}, and then each line with a Work by the seconds that it took. It adopts
orphans, so that its descendants are all that the service has started. It ends with its input.
"""

import ctypes
import importlib
import json
import os
import sys
import time

from benchmarks.peers.kit import Work

_PR_SET_CHILD_SUBREAPER = 36


def main() -> int:
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the service prints is no answer
    name, slots = sys.argv[1], int(sys.argv[2])
    with importlib.import_module(f"benchmarks.peers.{name}").started(slots) as run:
        answers.write("{}\n")
        answers.flush()
        for line in sys.stdin:
            work = Work(**json.loads(line))
            begin = time.perf_counter()
            run(work)
            answers.write(json.dumps({"seconds": time.perf_counter() - begin}) + "\n")
            answers.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
