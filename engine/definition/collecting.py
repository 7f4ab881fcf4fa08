"""Pause of the cyclic garbage collector while a large definition is read.

A hundred thousand tasks are a million small objects without a cycle among them; looking through them again and again
takes longer than making them.
"""

import gc
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Generator[None]:
    """The collector is as it was afterwards."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()
