"""What an operator may set: the section [console] of config.toml. Every key has a default; what is unknown, of a wrong
type, or gives two actions of one place the same key is refused by name.

    [console]
    theme = "light"             # a theme of textual, or "ansi": the terminal's own colours
    ascii = true                # else what the locale can show
    mouse = false
    read_only = true
    frames = 5                  # a second, at most

    [console.keys]
    retry = "f7"                # an action's id, as `:` lists them, and its keys
    "pane.log" = ["5", "f5"]
"""

from pathlib import Path

import msgspec

from engine.model.errors import ValueFault
from orchctl.console.keymap import ACTIONS, Action, clash

Keys = dict[str, str | list[str]]


class Settings(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The section."""

    theme: str = ""
    ascii: bool | None = None
    mouse: bool = True
    read_only: bool = False
    frames: int = 0
    keys: Keys = {}

    def actions(self) -> tuple[Action, ...]:
        """The keymap with the operator's own keys. Raises ValueFault."""
        left = dict(self.keys)
        rekeyed: list[Action] = []
        for action in ACTIONS:
            keys = left.pop(action.id, None)
            if keys is not None:
                action = msgspec.structs.replace(action, keys=(keys,) if isinstance(keys, str) else tuple(keys))
            rekeyed.append(action)
        if left:
            name = next(iter(left))
            raise ValueFault(
                f"[console.keys] has {name!r}, which is no action", "`:` in the console lists the ids of actions"
            )
        if both := clash(rekeyed):
            raise ValueFault(f"[console.keys] gives {both[2]!r} to both {both[0]!r} and {both[1]!r}")
        return tuple(rekeyed)


class _File(msgspec.Struct):
    console: Settings = msgspec.field(default_factory=Settings)


def load_settings(path: Path) -> Settings:
    """The settings of a config.toml, the defaults where there is none. Raises ValueFault that names the key."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Settings()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueFault(f"{path} cannot be read: {error}") from error
    try:
        settings = msgspec.toml.decode(text, type=_File).console
    except (msgspec.DecodeError, ValueError) as error:
        raise ValueFault(f"{path}: {error}", "see [console] in the README") from error
    settings.actions()
    return settings
