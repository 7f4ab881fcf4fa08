"""What the text of a filter means: words with blanks between them, all of which must hold for a task.

    load            a part of the name, in any case of letters
    ~^load.*7$      a regular expression
    ?ldt            fuzzy: these letters in this order
    +load  load+    the task with all that it needs; with all that needs it (2+load+1: that many steps)
    !load           not: the inverse of any of these

Names hold no blank and none of these signs. A regular expression runs on the engine's loop over names of at most 128
characters, so what could take long is refused: groups that repeat, looking around, references, and many
repetitions and choices (`?`, `|`).
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import msgspec

from engine.model.errors import ValueFault

REPEAT_COST, COST_MAX = 3, 8
"""A choice may double the ways to go, a repetition makes them many times as many: two of these, or eight of those."""
_ALL = 2**31
_GRAPH = re.compile(r"(?:(\d{0,6})(\+))?([A-Za-z0-9._-]+)(?:(\+)(\d{0,6}))?")
Ways = Callable[[int], Iterable[int]]


class Word(msgspec.Struct, frozen=True):
    """One word. `up` and `down` are how many steps of the graph belong to it."""

    kind: Literal["part", "expression", "fuzzy", "graph"]
    text: str
    inverse: bool = False
    up: int = 0
    down: int = 0


def parse_filter(text: str) -> tuple[Word, ...]:
    """The words of a filter. Raises ValueFault."""
    return tuple(_word(written) for written in text.split())


def _word(written: str) -> Word:
    text = written.lstrip("!")
    inverse = (len(written) - len(text)) % 2 == 1
    if text.startswith("~"):
        _expression(text[1:])
        return Word("expression", text[1:], inverse)
    if text.startswith("?"):
        return Word("fuzzy", text[1:].casefold(), inverse)
    if "+" in text:
        found = _GRAPH.fullmatch(text)
        if found is None:
            raise ValueFault(f"{written[:80]!r} is no filter", "a graph is written +NAME, NAME+ or 2+NAME+1")
        up = int(found[1] or _ALL) if found[2] else 0
        down = int(found[5] or _ALL) if found[4] else 0
        return Word("graph", found[3], inverse, up, down)
    return Word("part", text.casefold(), inverse)


def _expression(pattern: str) -> re.Pattern[str]:
    """Compiled. Raises ValueFault for what is none, or could take long."""
    bare = re.sub(r"\\.|\[\^?\]?[^\]]*\]", "x", pattern)
    if re.search(r"\)[*+?{]|\(\?|\\[1-9]", bare) or re.search(r"\\[1-9]", pattern):
        raise ValueFault("a filter's expression has no groups that repeat, look around or refer")
    repeats, choices = len(re.findall(r"[*+{]", bare)), len(re.findall(r"[?|]", bare))
    if REPEAT_COST * repeats + choices > COST_MAX:
        raise ValueFault("a filter's expression has too many of * + { ? and |", "write more of the name")
    try:
        return re.compile(pattern, re.IGNORECASE if pattern.islower() else 0)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueFault(f"{pattern[:80]!r} is no regular expression: {error}") from error


def select(
    words: Sequence[Word], names: Sequence[str], order: Iterable[int], ups: Ways, downs: Ways, spend: Callable[[], None]
) -> list[int]:
    """The tasks of `order`, by their place in `names`, for which all words hold. `spend` is called for each name that
    is looked at; it may raise where that takes too long.
    """
    left = list(order)
    for word in words:
        if word.kind == "graph":
            wanted = _graph(word, names, ups, downs, spend)
            left = [task for task in left if (task in wanted) != word.inverse]
        else:
            holds = _holds(word)
            kept: list[int] = []
            for task in left:
                spend()
                if holds(names[task]) != word.inverse:
                    kept.append(task)
            left = kept
    return left


def _holds(word: Word) -> Callable[[str], bool]:
    text = word.text
    if word.kind == "expression":
        pattern = _expression(text)
        return lambda name: pattern.search(name) is not None
    if word.kind == "fuzzy":
        return lambda name: _in_order(text, name.casefold())
    part = text.casefold()
    return lambda name: part in name.casefold()


def _in_order(letters: str, name: str) -> bool:
    at = 0
    for letter in letters:
        at = name.find(letter, at) + 1
        if not at:
            return False
    return True


def _graph(word: Word, names: Sequence[str], ups: Ways, downs: Ways, spend: Callable[[], None]) -> set[int]:
    """The task of that name with its neighbourhood; where none has just that name, all that have it as a part."""
    text = word.text
    begin = {names.index(text)} if text in names else {task for task, name in enumerate(names) if text in name}
    return begin | _reach(begin, ups, word.up, spend) | _reach(begin, downs, word.down, spend)


def _reach(begin: set[int], ways: Ways, steps: int, spend: Callable[[], None]) -> set[int]:
    found, front = set(begin), list(begin)
    while front and steps > 0:
        following: list[int] = []
        for task in front:
            spend()
            for other in ways(task):
                if other not in found:
                    found.add(other)
                    following.append(other)
        front, steps = following, steps - 1
    return found


def matches(words: Sequence[Word], text: str) -> bool:
    """Whether all words hold for some text, as far as they are about text: a word of the graph is a part of it."""
    return all(_holds(word)(text) != word.inverse for word in words)
