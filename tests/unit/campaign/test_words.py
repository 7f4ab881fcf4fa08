"""Values and speed-ups as people read them."""

import pytest

from orchctl.campaign.words import value_of


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.303, "s", "303ms"), (4.104, "s", "4.104s"), (-0.0, "s", "0ms"), (2**20 * 1.5, "B", "1.5 MiB"),
        (0.00123456, "", "0.001235"), (1951.4, "kB/s", "1951"), (74_543.2, "kB/s", "74,540"), (9_999.6, "", "10,000"),
        (-212_149, "", "-212,100"), (3.21e11, "", "321,000,000,000"), (1.5e12, "", "1.5e+12"), (1e-9, "", "1e-09"),
    ],
)  # fmt: skip
def test_a_value_has_four_digits_and_an_exponent_only_beyond_what_is_read(value: float, unit: str, text: str) -> None:
    assert value_of(value, unit) == text
