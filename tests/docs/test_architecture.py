"""ARCHITECTURE.md says what the code does."""

from tests.docs import states


def test_the_state_tables_in_the_document_are_those_of_the_machine():
    text = states.DOCUMENT.read_text(encoding="utf-8")
    assert states.with_tables(text) == text, "run `python -m tests.docs.states`"
