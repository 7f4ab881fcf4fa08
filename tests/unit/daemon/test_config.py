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


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        ("[host]\ncpu = 3", "host", "no key `cpu`"),
        ("[host]\ncpus = 'many'", "host.cpus", "float"),
        ("[host]\ncpus = -1", "host.cpus", "number of CPUs"),
        ("[host]\nmemory = 'lots'", "host.memory", "is not a size"),
        ("[access]\nviewer = '@staff'", "access.viewer", "array"),
        ("[retention]\ndays = -1", "retention.days", "between 0"),
        ("[retention]\ndays = nan", "retention.days", "between 0"),
        ("[retention]\nruns = -1", "retention.runs", "between 0"),
        ("[store]\nfree_bytes_min = 'x'", "store.free_bytes_min", "is not a size"),
        ("[store]\nmap_bytes = 0", "store.map_bytes", "between 1048576"),
        ("[engine]\nlaunchers = -1", "engine.launchers", "between 0 and 1024"),
        ("[pools]\n'a b' = 1", "pools", "not a name"),
        ("[pools]\ndb = 0", "pools", "at least 1"),
        ("[shares]\nops = 0", "shares", "above 0"),
        ("[pressure]\nforeign_slow = 1.5", "pressure.foreign_slow", "<= 1.0"),
        ("[pressure]\nforeign_slow = nan", "pressure.foreign_slow", "Expected `float`"),
        ("[pressure]\nmemory_slow = 0.01", "pressure", "memory_closed (0.05) is above memory_slow (0.01)"),
        ("[noise]\nlook = '1ms'", "noise.look", "1ms is not between 50ms and 1m"),
        ("[noise]\nlook = 'soon'", "noise.look", "a duration"),
        ("[noise]\nio = 2", "noise.io", "<= 1.0"),
        ("[noise]\nloud = 1", "noise", "no key `loud`"),
        ("[noise]\nlooks = 0", "noise.looks", ">= 1"),
    ],
)
def test_what_means_nothing_is_refused_by_its_key(text: str, key: str, words: str, tmp_path: Path):
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(DefinitionError) as caught:
        load_config(tmp_path / "config.toml")
    [fault] = caught.value.faults
    assert (fault.field, words in fault.message) == (key, True)


def test_bounds_of_pressure_and_limits_of_noise_are_read(tmp_path: Path):
    path = tmp_path / "config.toml"
    path.write_text("""[pressure]
foreign_slow = 0.3
memory_closed = 0
[noise]
foreign = 0.1
look = "1s"
looks = 2
""")
    config = load_config(path)
    assert config.pressure == Bounds(foreign_slow=0.3, memory_closed=0)
    assert noise_of(config) == NoiseLimits(foreign=0.1, look_ns=10**9, looks=2)
