"""Colours that a program wrote into its log, kept if the operator wants them: a parser of our own for one kind of
escape sequence (SGR) that yields names of styles. The escapes themselves never reach the terminal, and everything that
is no such sequence stays text and is made inert.
"""

import re
from functools import lru_cache

from orchctl.console.drawing import Line
from orchctl.text import inert

SGR = re.compile(r"\x1b\[([0-9;:]*)m")
COLOURS = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")
_FLAGS = {1: "bold", 2: "dim", 3: "italic", 4: "underline", 7: "reverse", 9: "strike"}
_ENDS = {22: ("bold", "dim"), 23: ("italic",), 24: ("underline",), 27: ("reverse",), 29: ("strike",)}
_LEVELS = (0, 95, 135, 175, 215, 255)


def without_colours(text: str) -> str:
    """The text without these sequences; nothing else is taken away."""
    return SGR.sub("", text)


def coloured(text: str) -> Line:
    """Pieces of inert text with the names of their styles: `plain`, or `sgr` and what holds, as in `sgr bold red`.

    Each line begins plain, because what came before it may not be known.
    """
    line: Line = []
    flags: set[str] = set()
    colours = {"": "", "on ": ""}
    done = 0
    for found in SGR.finditer(text):
        _append(line, text[done : found.start()], flags, colours)
        done = found.end()
        _apply([int(code or 0) for code in re.split("[;:]", found[1])][:32], flags, colours)
    _append(line, text[done:], flags, colours)
    return line


def _append(line: Line, text: str, flags: set[str], colours: dict[str, str]) -> None:
    if text:
        words = [*sorted(flags), *(where + name for where, name in colours.items() if name)]
        line.append((inert(text), " ".join(["sgr", *words]) if words else "plain"))


def _apply(codes: list[int], flags: set[str], colours: dict[str, str]) -> None:
    """What a sequence changes. What we do not know changes nothing."""
    at = 0
    while at < len(codes):
        code = codes[at]
        at += 1
        if code == 0:
            flags.clear()
            colours.update({"": "", "on ": ""})
        elif code in _FLAGS:
            flags.add(_FLAGS[code])
        elif code in _ENDS:
            flags.difference_update(_ENDS[code])
        elif code in (38, 48):
            name, used = _extended(codes[at:])
            at += used
            colours["" if code == 38 else "on "] = name
        else:
            where, base = ("", code) if code % 100 // 10 in (3, 9) and code < 100 else ("on ", code - 10)
            if 30 <= base <= 37:
                colours[where] = COLOURS[base - 30]
            elif 90 <= base <= 97:
                colours[where] = "bright_" + COLOURS[base - 90]
            elif base == 39:
                colours[where] = ""


def _extended(codes: list[int]) -> tuple[str, int]:
    """The nearest of sixteen colours for `5;N` or `2;R;G;B`, and how many codes that takes."""
    if len(codes) >= 2 and codes[0] == 5:
        number = codes[1]
        if number < 16:
            return ("bright_" if number > 7 else "") + COLOURS[number % 8], 2
        if number < 232:
            number -= 16
            return _nearest(_LEVELS[min(5, number // 36)], _LEVELS[number // 6 % 6], _LEVELS[number % 6]), 2
        grey = 8 + 10 * (min(number, 255) - 232)
        return _nearest(grey, grey, grey), 2
    if len(codes) >= 4 and codes[0] == 2:
        return _nearest(codes[1], codes[2], codes[3]), 4
    return "", len(codes)


@lru_cache(maxsize=512)
def _nearest(red: int, green: int, blue: int) -> str:
    """One of the terminal's sixteen: by which parts are strong, and how strong they are."""
    most = max(red, green, blue)
    if most < 48:
        return "black"
    number = sum(bit for bit, part in ((1, red), (2, green), (4, blue)) if part * 2 > most)
    if number == 7:
        return "white" if most > 160 else "bright_black"
    return ("bright_" if most > 200 else "") + COLOURS[number]
