"""Numbers that remember how they were written: `010` is ten, and `1.10` a version where a field wants the text."""


class WrittenInt(int):
    """An integer that was written in another way than Python would."""

    raw: str

    def __repr__(self) -> str:
        return self.raw


class WrittenFloat(float):
    """A float that was written in another way than Python would."""

    raw: str

    def __repr__(self) -> str:
        return self.raw
