"""The Python function that all contenders call: every tenth call writes a line, and it sleeps if it is to last."""

import time


def call(number: int, seconds: float = 0.0) -> None:
    if number % 10 == 0:
        print("line", number)
    if seconds:
        time.sleep(seconds)
