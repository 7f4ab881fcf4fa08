"""What an attempt used over time, read in a thread from the file that the meter keeps beside its log."""

import os

import trio

from engine.core.state import Attempt
from engine.model.instants import SECOND, to_text
from engine.model.samples import SAMPLES_BYTES_MOST, Sample, samples_path, unpacked
from engine.protocol.messages import ListSamples
from engine.protocol.rows import SampleRow
from engine.server.logs import attempt_meant, open_below
from engine.server.look import Look
from engine.server.packing import Page, pack_all


def path_of_samples(look: Look, question: ListSamples) -> str:
    """Where the samples are, below the log folder, if there are any. Raises EngineError, or RunNeeded."""
    attempt: Attempt = attempt_meant(look, question)
    return samples_path(question.run, question.task, attempt.index, attempt.number)


async def read_samples(folder: str, path: str, limiter: trio.CapacityLimiter) -> Page:
    """A row for each sample; none where nothing was kept."""
    return await trio.to_thread.run_sync(_read, folder, path, limiter=limiter)


def _read(folder: str, path: str) -> Page:
    try:
        fd = open_below(folder, path)
    except OSError:
        return Page([], 0)
    try:
        samples = unpacked(os.pread(fd, SAMPLES_BYTES_MOST, 0))
    finally:
        os.close(fd)
    rows = [_row(sample, samples[max(at - 1, 0)]) for at, sample in enumerate(samples)]
    return Page(pack_all(rows), len(rows))


def _row(sample: Sample, before: Sample) -> SampleRow:
    passed_ns = sample.at_ns - before.at_ns
    return SampleRow(
        at=to_text(sample.at_ns), memory=sample.memory_bytes, cpu_seconds=sample.cpu_ns / SECOND,
        cpus=round(max(0, sample.cpu_ns - before.cpu_ns) / passed_ns, 3) if passed_ns > 0 else 0.0,
        read=sample.read_bytes, written=sample.written_bytes, processes=sample.processes, threads=sample.threads,
    )  # fmt: skip
