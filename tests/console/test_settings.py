"""The operator's own keys, looks and memory."""

from pathlib import Path

import pytest

from engine.daemon.config import load_config
from engine.model.errors import ValueFault
from orchctl.console.memory import Memory, keep, recall
from orchctl.console.settings import Settings, load_settings
from tests.support.console_pilot import console_on, until
from tests.support.console_world import ingest


def _write(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_settings_are_a_section_of_the_engines_file_and_the_engine_takes_it_too(tmp_path: Path) -> None:
    path = _write(
        tmp_path, '[host]\ncpus = 2\n[console]\ntheme = "light"\nascii = true\n[console.keys]\nretry = "f7"\n'
    )
    settings = load_settings(path)
    assert (settings.theme, settings.ascii) == ("light", True)
    assert next(action.keys for action in settings.actions() if action.id == "retry") == ("f7",)
    assert load_config(path).host.cpus == 2
    assert load_settings(tmp_path / "none.toml") == Settings()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[console]\ncolor = 1", "color"),
        ("[console]\nascii = 3", "ascii"),
        ('[console.keys]\nretri = "f7"', "retri"),
        ('[console.keys]\nretry = "c"', "both 'cancel' and 'retry'"),
        ("[console", "config.toml"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ValueFault, match=said):
        load_settings(_write(tmp_path, text))


@pytest.mark.asyncio
async def test_an_action_has_the_operators_key_at_the_foot_in_the_help_and_when_pressed(tmp_path: Path) -> None:
    settings = Settings(keys={"cancel": "f7", "retry": ["c", "f8"]})
    async with console_on(tmp_path, ingest(), settings=settings) as console:
        await console.shows("ingest-daily", "f7 cancel", "c retry")
        await console.press("f7")
        await console.shows("Cancel:")
        await console.press("n", "c")
        await console.shows("Retry:")
        await console.press("n", "question_mark")
        await console.shows("f7  ", "c f8  ")


@pytest.mark.asyncio
async def test_read_only_may_be_set(tmp_path: Path) -> None:
    async with console_on(tmp_path, ingest(), settings=Settings(read_only=True)) as console:
        await console.shows("read-only")


@pytest.mark.asyncio
async def test_what_was_left_is_found_again(tmp_path: Path) -> None:
    memory = Memory(overview_newest=True, shape="outline", wrap=False)
    async with console_on(tmp_path, ingest(), memory=memory) as console:
        await console.shows("sort: newest")
        await console.press("enter")
        await console.shows("1 Outline*", "publish")
        await console.press("j", "L")
        await console.shows("wrap off")
        await console.press("w")
        await until(lambda: memory.wrap)


def test_memory_survives_and_a_broken_file_is_nothing_to_speak_of(tmp_path: Path) -> None:
    path = tmp_path / "console.json"
    memory = Memory(theme="nord")
    for text in ("a", "b", "a", ""):
        memory.remember_filter(text)
    keep(path, memory)
    assert recall(path) == memory
    assert memory.filters == ["b", "a"]
    assert list(tmp_path.iterdir()) == [path]
    path.write_bytes(b"{")
    assert recall(path) == Memory()
    keep(tmp_path / "no" / "folder", memory)
