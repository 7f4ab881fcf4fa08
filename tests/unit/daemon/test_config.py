"""What config.toml says of the host takes the place of what was found."""

import os
from pathlib import Path

import pytest

from engine.admission.pressure import Bounds
from engine.daemon.config import Config, HostConfig, capacity_of, load_config, noise_of
from engine.model.campaign import NoiseLimits
from engine.model.errors import DefinitionError, ValueFault


def test_without_a_word_capacity_is_what_was_found(tmp_path: Path):
    capacity = capacity_of(Config(pools={"db": 2}), tmp_path)
    assert 0 < capacity.cpu_milli <= len(os.sched_getaffinity(0)) * 1000
    assert capacity.memory_bytes > 0
    assert capacity.scratch_bytes > 0
    assert capacity.pools == (("db", 2),)
    assert {cpu for _, cpus in capacity.cores for cpu in cpus} == os.sched_getaffinity(0)


def test_what_is_written_counts(tmp_path: Path):
    (tmp_path / "config.toml").write_text("[host]\ncpus = 32\nmemory = '200GiB'\nscratch = '1TiB'\ngpus = []\n")
    capacity = capacity_of(load_config(tmp_path / "config.toml"), tmp_path)
    assert (capacity.cpu_milli, capacity.memory_bytes) == (32_000, 200 * 2**30)
    assert (capacity.scratch_bytes, capacity.gpus) == (2**40, ())


def test_a_gpu_that_is_not_there_is_refused_by_name(tmp_path: Path):
    with pytest.raises(ValueFault, match="GPU-none") as caught:
        capacity_of(Config(host=HostConfig(gpus=["GPU-none"])), tmp_path)
    assert "there are: none" in caught.value.hint


def test_an_unknown_key_is_refused(tmp_path: Path):
    (tmp_path / "config.toml").write_text("[host]\ncpu = 3\n")
    with pytest.raises(DefinitionError, match="cpu"):
        load_config(tmp_path / "config.toml")


def test_limits_of_noise_are_read_and_those_that_mean_nothing_are_named(tmp_path: Path):
    path = tmp_path / "config.toml"
    path.write_text('[noise]\nforeign = 0.1\nlook = "1s"\nlooks = 2\n')
    assert noise_of(load_config(path)) == NoiseLimits(foreign=0.1, look_ns=10**9, looks=2)
    for text, said in (
        ('look = "1ms"', "noise.*look: it is not between 50ms and 1m"), ('look = "soon"', "noise.*look: "),
        ("io = 2", r"<= 1.0.*noise\.io"), ("loud = 1", "loud"), ("looks = 0", r">= 1.*noise\.looks"),
    ):  # fmt: skip
        path.write_text(f"[noise]\n{text}\n")
        with pytest.raises(DefinitionError, match=said):
            load_config(path)


def test_bounds_of_pressure_are_read_and_those_that_mean_nothing_are_named(tmp_path: Path):
    path = tmp_path / "config.toml"
    path.write_text("[pressure]\nforeign_slow = 0.3\nmemory_closed = 0\n")
    assert load_config(path).pressure == Bounds(foreign_slow=0.3, memory_closed=0)
    path.write_text("[pressure]\nforeign_slow = 1.5\n")
    with pytest.raises(DefinitionError, match=r"<= 1.0.*pressure\.foreign_slow"):
        load_config(path)
    path.write_text("[pressure]\nmemory_slow = 0.01\n")
    with pytest.raises(DefinitionError, match=r"memory_closed \(0.05\) is above memory_slow \(0.01\)"):
        load_config(path)
