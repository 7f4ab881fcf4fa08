"""The one error of expressions: a sentence, and where in the text it went wrong."""

from collections.abc import Sequence

from engine.model.errors import EngineError

NOWHERE = -1
_CLIP_CHARS = 80
_CLOSE_AMONG = 5_000


class ExpressionFault(EngineError):
    """An expression that cannot be compiled, or came to nothing when it was evaluated.

    `position` counts characters from the start of the text that was compiled; `NOWHERE` when it is unknown.
    """

    code = "invalid_expression"

    def __init__(self, sentence: str, position: int = NOWHERE, hint: str = "") -> None:
        super().__init__(sentence, hint)
        self.position = position
        self._located = False

    def locate(self, source: str, offset: int = 0) -> "ExpressionFault":
        """Name the expression in the sentence, once; `offset` is where it begins in the text around it."""
        if not self._located:
            self._located = True
            text = source.strip()
            text = text if len(text) <= _CLIP_CHARS else text[: _CLIP_CHARS - 3] + "..."
            self.sentence = f"{self.sentence}, in `{text}`"
            self.args = (self.sentence,)
        self.position = max(self.position, 0) + offset
        return self


def did_you_mean(word: str, known: Sequence[str], otherwise: str = "") -> str:
    """`did you mean x?`, or the other hint when no known word is close."""
    from difflib import get_close_matches  # for faults only

    close = get_close_matches(word[:200], known[:_CLOSE_AMONG], n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else otherwise
