"""The one command that checks all."""

import pytest

from tests.check import CHECKS, main


def test_one_check_can_be_run_alone_and_is_summed_up(capfd: pytest.CaptureFixture[str]):
    assert main(["imports"]) == 0
    out = capfd.readouterr().out
    assert "well  imports" in out
    assert "types" not in out


def test_a_check_that_does_not_exist_is_refused_with_the_names_of_all(capfd: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        main(["tpyes"])
    assert ended.value.code == 2
    said = capfd.readouterr().err
    assert all(name in said for name in CHECKS)


def test_a_failing_check_fails_the_whole(capfd: pytest.CaptureFixture[str]):
    assert main(["tests", "--", "tests/there/is/no/such/file.py"]) == 1
    assert "FAILED  tests" in capfd.readouterr().out
