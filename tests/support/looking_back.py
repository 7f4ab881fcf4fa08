"""The journal of every run folded as it grows, and compared with what the runs really are."""

from engine.core.changes import Changes
from engine.core.replay import Batch, Replay, batch_of, placed
from engine.core.state import EngineState, RunState


class Looking:
    """By run: its past so far, its batches, and the counts that it had after each of them."""

    def __init__(self) -> None:
        self.replays: dict[int, Replay] = {}
        self.batches: dict[int, list[Batch]] = {}
        self.truth: dict[int, dict[int, list[int]]] = {}

    def after(self, changes: Changes, state: EngineState) -> list[str]:
        """Take in a batch; where the folded past differs from what is."""
        events = placed(changes)
        found: list[str] = []
        for number in sorted({place[0] for _, place in events} | changes.runs):
            run = state.runs.get(number)
            if run is None:
                continue
            replay = self.replays.setdefault(number, Replay(run.header, run.plan))
            batch = batch_of(number, changes.revision, changes.now_ns, events)
            if batch.events:
                replay.take(batch)
                self.batches.setdefault(number, []).append(batch)
            self.truth.setdefault(number, {})[changes.revision] = list(run.header.counts)
            found += [f"r{number} {sentence}" for sentence in differences(replay.run, run)]
        return found


def differences(folded: RunState, real: RunState) -> list[str]:
    """What a fold of the journal has otherwise than the run."""
    pairs = {
        "status": (folded.header.status, real.header.status),
        "settings": (folded.header.settings, real.header.settings),
        "rows": (len(folded.status), len(real.status)),
        "counts": (folded.header.counts, real.header.counts),
        "counts of tasks": (folded.mapped_counts, real.mapped_counts),
        "first rows": (list(folded.first_row), list(real.first_row)),
        "final statuses": (list(folded.task_final), list(real.task_final)),
        "statuses": (bytes(folded.status), bytes(real.status)),
    }
    return [f"{what}: folded {left}, really {right}" for what, (left, right) in pairs.items() if left != right]
