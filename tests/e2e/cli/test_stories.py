"""The command line against the real engine: what an operator does in a day, by real processes."""

import signal
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import psutil
import pytest

from engine.execution.diary import DIARY_BYTES_MAX
from engine.protocol.rows import EventRow, RunRow, TaskRow
from tests.support.home import Home, alive, home, kill_pid, wait_for

pytestmark = pytest.mark.e2e

ORDERS = r"""
name: orders
params:
  count: {type: integer, default: 3}
  breaks: {type: integer, default: -1}
tasks:
  extract:
    run: 'printf "extracted \033]52;c;eA==\007\n"'
  clean:
    needs: [extract]
    for_each: "{{ range(params.count) }}"
    claim: {cpu: 0.1}
    run: 'echo item {{ item }}; test {{ item }} != {{ params.breaks }}'
  publish: {needs: [clean], run: echo published}
"""
WAITS = """
name: waits
tasks:
  long: {run: sleep 600, stop: {grace: 1s}}
"""
CAMPAIGN = r"""
name: campaign
tasks:
  values: {run: 'printf "[1, 3]" > "$ORCHCTL_RESULT"'}
  measure:
    needs: [values]
    matrix: {size: "{{ needs.values.result }}"}
    trials: 4
    order: random
    seed: 5
    repeat_noisy: 1
    noise: {look: 100ms}
    metrics:
      work: {better: lower}
      rate: {unit: MB/s, better: higher, regex: "rate ([0-9]+)"}
    run: |
      echo rate $((100 / SIZE))
      echo '{"work": '$((SIZE * PARAM_work + TRIAL))'}' >&$ORCHCTL_METRICS_FD
      sleep 0.15
    env: {SIZE: "{{ item.size }}", TRIAL: "{{ item.trial }}"}
params: {work: 1000}
"""
GATE = """
name: gate
tasks:
  first: {run: echo first}
  gate: {needs: [first], run: 'until test -e open; do sleep 0.05; done'}
"""

GPU_LIBRARY = """
import sys
from tests.support.fake_nvml import GIB, FakeNvml, device
sys.modules[__name__] = FakeNvml(device("GPU-5d2a", busy=87, memory=(80 * GIB, 3 * GIB)))
"""


@pytest.fixture
def place() -> Generator[Home]:
    with home() as found:
        yield found


def test_a_run_from_submission_to_its_logs(place: Home) -> None:
    place.file("orders.yaml", ORDERS)
    done = place.call("run", "orders.yaml", "--param", "count=4", "--json")
    assert done.returncode == 0, done.stderr
    (summary,) = (line for line in done.stdout.splitlines() if line)
    assert '"status":"succeeded"' in summary
    assert '"tasks":{"succeeded":6}' in summary
    rows = place.rows("tasks", "latest")
    assert [(row["task"], row["index"]) for row in rows] == [
        ("extract", None),
        *(("clean", index) for index in range(4)),
        ("publish", None),
    ]
    assert all(set(row) == set(TaskRow.__struct_fields__) and row["exit_code"] == 0 for row in rows)
    assert place.ok("logs", "latest", "extract") == "extracted \\x1b]52;c;eA==\\x07\n"
    assert place.ok("logs", "latest", "extract", "--raw") == "extracted \x1b]52;c;eA==\x07\n"
    assert place.ok("logs", "latest", "clean[2]", "-f") == "item 2\n"
    (run,) = place.rows("runs")
    assert set(run) == set(RunRow.__struct_fields__)
    assert place.rows("show", "-")[0]["params"] == {"count": 4, "breaks": -1}
    events = place.rows("events", "latest")
    assert set(events[0]) == set(EventRow.__struct_fields__)
    assert [event["revision"] for event in events] == sorted(event["revision"] for event in events)
    assert sum(event["event"] == "AttemptExited" for event in events) == 6
    assert place.ok("explain", "latest") == "nothing waits\n"
    assert [entry["verb"] for entry in place.rows("audit")] == ["submit"]


def test_a_failed_run_says_what_failed_and_can_be_marked_right(place: Home) -> None:
    place.file("orders.yaml", ORDERS)
    done = place.call("run", "orders.yaml", "-p", "breaks=1")
    assert done.returncode == 1
    assert "clean[1] failed: exit 1 (orchctl logs r1 'clean[1]')" in done.stdout
    assert place.ok("mark", "r1", "clean[1]", "--as", "succeeded").startswith("mark r1: ")
    followed = place.call("show", "r1", "-f")
    assert followed.returncode == 0, followed.stdout + followed.stderr
    assert place.call("cancel", "r1").returncode == 3
    assert place.call("show", "r99").returncode == 3


def test_a_cancelled_run_ends_its_follower_with_4(place: Home) -> None:
    place.file("waits.yaml", WAITS)
    assert place.ok("submit", "waits.yaml") == "r1\n"
    wait_for(lambda: place.rows("tasks", "r1")[0]["status"] == "running", "the task to run")
    place.ok("cancel", "r1", "--note", "enough")
    done = place.call("show", "r1", "-f")
    assert done.returncode == 4, done.stdout + done.stderr
    assert place.rows("audit")[0]["note"] == "enough"
    assert place.ok("audit", "--verify").startswith("the audit is intact: ")


def test_a_definition_with_faults_and_a_bad_parameter_end_with_2(place: Home) -> None:
    place.file("bad.yaml", "name: bad\ntasks:\n  a: {run: ls, needs: [b]}\n")
    place.file("orders.yaml", ORDERS)
    assert place.call("run", "bad.yaml").returncode == 2
    assert not (place.root / "run").exists()
    assert place.call("run", "orders.yaml", "-p", "count=many").returncode == 2
    assert place.call("run", "nowhere").returncode == 3


def test_following_survives_a_killed_engine(place: Home) -> None:
    place.file("gate.yaml", GATE)
    pid = place.start()["pid"]
    follower = subprocess.Popen(
        [sys.executable, "-m", "orchctl", "run", "gate.yaml"], env=place.environment, cwd=place.root,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert follower.stdout is not None
        said = ""
        while "gate running" not in said:
            said += follower.stdout.readline()
        kill_pid(pid)
        while "waiting for an engine" not in said:
            said += follower.stdout.readline()
        place.ok("engine", "start")
        place.file("open", "")
        rest, complaints = follower.communicate(timeout=60)
    finally:
        if follower.poll() is None:
            follower.kill()
            follower.wait(10)
    assert follower.returncode == 0, rest + complaints
    assert "the engine is back" in rest
    assert "r1 gate succeeded" in rest


def test_ctrl_c_leaves_a_run_that_goes_on(place: Home) -> None:
    place.file("gate.yaml", GATE)
    place.start()
    follower = subprocess.Popen(
        [sys.executable, "-m", "orchctl", "run", "gate.yaml"], env=place.environment, cwd=place.root,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert follower.stdout is not None
        while "gate running" not in follower.stdout.readline():
            pass
        follower.send_signal(signal.SIGINT)
        _, complaints = follower.communicate(timeout=30)
    finally:
        if follower.poll() is None:
            follower.kill()
            follower.wait(10)
    assert follower.returncode == 130
    assert "`orchctl show r1 -f` comes back to it" in complaints
    place.file("open", "")
    assert place.call("show", "r1", "-f").returncode == 0


def test_a_running_task_is_paused_and_resumed_and_tells_how_its_quotas_are_enforced(place: Home) -> None:
    place.start()
    place.file(
        "long.yaml", "tasks:\n  a:\n    run: while [ ! -e go ]; do sleep 0.05; done\n    quota: {memory: 1GiB}\n"
    )
    run = place.rows("submit", "long.yaml")[0]["run"]
    wait_for(lambda: place.rows("tasks", run)[0]["pid"], "the task to run")
    assert place.rows("tasks", run)[0]["enforced"].keys() == {"memory"}
    place.ok("pause", run, "a")
    wait_for(lambda: place.rows("tasks", run)[0]["suspended"], "the task to stand still")
    assert place.rows("tasks", run, "a", "--attempts")[0]["status"] == "suspended"
    assert "paused" in place.ok("tasks", run)
    assert place.call("pause", run, "a").returncode == 3
    place.file("go", "")
    place.ok("resume", run)
    assert place.call("show", run, "-f").returncode == 0
    attempt = place.rows("tasks", run, "a", "--attempts")[0]
    assert (attempt["outcome"], attempt["suspended_seconds"] > 0) == ("succeeded", True)
    samples = place.rows("tasks", run, "a", "--samples")  # none where it was over soon
    assert all(sample["at"] > attempt["started_at"] and sample["memory"] for sample in samples)


def test_workflows_that_were_added_are_triggered_paused_and_removed(place: Home) -> None:
    place.start()
    place.file("orders.yaml", ORDERS + 'schedule: "15 2 * * *"\n')
    assert place.ok("add", "orders.yaml").startswith("added orders version ")
    assert place.rows("schedules")[0]["next_at"] is not None
    assert place.ok("pause", "orders") == "pause orders: done\n"
    assert place.rows("workflows")[0]["paused"] is True
    assert place.ok("trigger", "orders", "-p", "count=1") == "r1\n"
    assert place.call("show", "r1", "-f").returncode == 0
    assert "name: orders" in place.ok("workflows", "orders", "--definition")
    place.ok("remove", "orders")
    assert place.rows("workflows") == []


def test_the_doctor_names_the_role_that_the_operator_has(place: Home) -> None:
    place.start()
    assert "you are admin" in place.call("doctor").stdout


def test_files_in_the_folder_of_workflows_are_added_by_themselves_and_a_broken_one_says_why(place: Home) -> None:
    place.start()
    code = "from orchctl import task, workflow\nwith workflow('made'):\n    task('a', run='echo hello')\n"
    place.file("workflows/made.py", code)
    place.file("workflows/broken.yaml", "name: broken\ntasks: {a: {rum: echo}}\n")
    wait_for(lambda: place.rows("workflows"), "the file to be added")
    assert [row["workflow"] for row in place.rows("workflows")] == ["made"]
    assert place.ok("trigger", "made") == "r1\n"
    assert place.call("show", "r1", "-f").returncode == 0
    wait_for(lambda: place.status()["problems"], "the fault to be shown")
    (problem,) = place.status()["problems"]
    assert problem.startswith(f"{place.root}/workflows/broken.yaml:2: tasks.a: ")
    place.file("workflows/made.py", code.replace("run=", "rum="))
    wait_for(lambda: place.rows("workflows")[0]["fault"], "the new fault to be shown")
    assert "unexpected keyword argument" not in place.ok("workflows", "made")
    assert place.rows("workflows")[0]["last_run"] == "r1"
    removed = place.call("remove", "made", "--yes")
    assert (removed.returncode, removed.stdout) == (0, "removed made\n")
    assert "workflows/made.py is still there: the engine adds it again" in removed.stderr


def test_full_diaries_of_engine_and_keeper_begin_anew(place: Home) -> None:
    """The engine says that it serves, the keeper what became of a launcher."""
    diaries = [place.root / "engine.log", place.root / "execution" / "processes.log"]
    for diary in diaries:
        diary.parent.mkdir(exist_ok=True)
        diary.write_bytes(b"x" * DIARY_BYTES_MAX)
    place.start()
    kill_pid(place.status()["launchers"][0])
    kept = [diary.with_name(f"{diary.name}.1") for diary in diaries]
    wait_for(lambda: all(file.exists() for file in kept), "both diaries to begin anew")
    assert [file.stat().st_size for file in kept] == [DIARY_BYTES_MAX] * 2
    assert "serving" in diaries[0].read_text()[:10_000]
    wait_for(lambda: "keeper: launcher-" in diaries[1].read_text()[-1_000:], "the keeper to write on")
    assert all(diary.stat().st_size < 100_000 for diary in diaries)


def test_what_is_really_used_of_a_gpu_stands_beside_what_is_claimed(place: Home) -> None:
    """With a driver's library that tells of a GPU which is not there."""
    place.file("lib/pynvml.py", GPU_LIBRARY)
    place.environment["PYTHONPATH"] = f"{place.root}/lib:{place.environment['PYTHONPATH']}"
    place.start()
    wait_for(lambda: place.rows("resources")[0]["gpus_used"], "the driver to be asked")
    assert place.rows("resources")[0]["gpus_used"] == {"GPU-5d2a": {"busy": 87, "memory": 3 * 2**30}}
    assert "87% busy, 3.0 GiB used" in place.ok("resources")


def test_a_backup_is_restored_after_the_engine_has_stopped(place: Home) -> None:
    place.file("orders.yaml", ORDERS)
    place.ok("run", "orders.yaml")
    backup = place.root / "kept"
    place.ok("backup", str(backup))
    assert place.call("restore", str(backup)).returncode == 3
    place.ok("run", "orders.yaml")
    assert place.ok("engine", "stop").endswith("has stopped\n")
    assert place.call("engine", "status").returncode == 3
    place.ok("restore", str(backup))
    place.start()
    assert [run["run"] for run in place.rows("runs")] == ["r1"]


def test_the_engine_in_the_foreground_serves_and_stops(place: Home) -> None:
    engine = subprocess.Popen(
        [sys.executable, "-m", "orchctl", "engine", "run"], env=place.environment, cwd=place.root,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for(lambda: place.call("engine", "status").returncode == 0, "the engine to serve")
        assert place.status()["pid"] == engine.pid
        assert place.call("engine", "run").returncode == 3
        place.ok("engine", "stop", "--kill")
        engine.wait(20)
    finally:
        if engine.poll() is None:
            engine.kill()
            engine.wait(10)


def test_what_a_killed_engine_left_behind_is_ended_by_engine_stop(place: Home) -> None:
    place.file("waits.yaml", WAITS)
    place.ok("submit", "waits.yaml")
    wait_for(lambda: place.rows("tasks", "r1")[0]["status"] == "running", "the task to run")
    launchers = place.status()["launchers"]
    wait_for(lambda: sleepers(launchers), "the sleep to run")
    ((launcher, sleeper),) = sleepers(launchers)
    keeper = place.status()["keeper"]
    place.kill_engine()
    refused = place.call("engine", "stop")
    assert (refused.returncode, refused.stdout) == (3, "")
    assert f"no engine runs in {place.root}, but attempts still do" in refused.stderr
    assert "orchctl engine stop --kill" in refused.stderr
    assert all(alive(pid) for pid in (keeper, launcher, sleeper))
    (row,) = place.rows("engine", "stop", "--kill", "--yes")
    assert {keeper, launcher} <= set(row["ended"])
    assert not alive(sleeper)
    assert processes_of(place) == []
    again = place.call("engine", "stop", "--kill", "--yes")
    assert again.returncode == 3
    assert f"no engine runs in {place.root}" in again.stderr


def test_idle_processes_of_a_killed_engine_are_ended_without_kill(place: Home) -> None:
    found = place.start()
    place.kill_engine()
    assert processes_of(place) != []
    assert str(found["keeper"]) in place.ok("engine", "stop").split()
    assert processes_of(place) == []


def sleepers(launchers: list[int]) -> list[tuple[int, int]]:
    """The `sleep` processes below launchers: (launcher, sleep)."""
    below = [(pid, child) for pid in launchers for child in psutil.Process(pid).children(recursive=True)]
    return [(pid, child.pid) for pid, child in below if child.name() == "sleep"]


def processes_of(place: Home) -> list[str]:
    """The commands of live processes that name the home: keeper, launchers and meter do."""
    living = (process for process in psutil.process_iter(["cmdline", "pid"]) if alive(process.pid))
    commands = (" ".join(process.info["cmdline"] or ()) for process in living)
    return [command for command in commands if str(place.root) in command]


def test_a_home_deeper_than_a_socket_address_works(place: Home) -> None:
    deep = Home(place.root / ("d" * 90) / ("e" * 90))
    deep.root.mkdir(parents=True)
    try:
        deep.file("orders.yaml", ORDERS)
        deep.ok("run", "orders.yaml")
    finally:
        deep.close()


def test_another_folder_named_engine_is_not_taken_for_ours(place: Home) -> None:
    wrong = place.file("elsewhere/engine/__init__.py", "raise SystemExit('the wrong engine')")
    environment = dict(place.environment)
    del environment["PYTHONPATH"]
    program = Path(sys.executable).with_name("orchctl")
    if not program.exists():
        pytest.skip("orchctl is not installed in this environment")
    done = subprocess.run(
        [str(program), "engine", "start"],
        env=environment,
        cwd=wrong.parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_campaign_is_run_twice_and_compared_and_a_neighbour_is_noticed(place: Home) -> None:
    path = str(place.file("campaign.yaml", CAMPAIGN))
    place.ok("run", path)
    burner = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        place.ok("run", path, "--param", "work=5000")
    finally:
        burner.kill()
        burner.wait()
    lines = place.rows("compare", "r1", "r2", "--metric", "work", "--metric", "rate", "--with-noisy")
    assert [(line["metric"], line["cell"], line["run"], line["n"]) for line in lines] == [
        (metric, {"size": size}, run, 4) for metric in ("work", "rate") for size in (1, 3) for run in ("r1", "r2")
    ]  # fmt: skip
    work = {(line["cell"]["size"], line["run"]): line for line in lines if line["metric"] == "work"}
    assert (work[3, "r1"]["median"], work[3, "r2"]["median"]) == (3002.5, 15002.5)
    assert work[3, "r1"]["low"] <= 3002.5 <= work[3, "r1"]["high"]
    assert [line["verdict"] for line in work.values()] == ["", "worse", "", "worse"]
    assert {line["verdict"] for line in lines if line["metric"] == "rate"} == {"", "same"}
    disturbed = place.rows("compare", "r2", "--metric", "duration")
    assert [line["noisy"] for line in disturbed] == [4, 4]
    failed = place.call("compare", "r1", "r2", "--metric", "work", "--with-noisy", "--fail-on-regression")
    assert failed.returncode == 1
    assert "REGRESSION" in failed.stdout
    attempts = place.rows("tasks", "r2", "measure[0]", "--attempts")
    assert [row["number"] for row in attempts] == [1, 2]
    assert all(any(mark.startswith("others used") for mark in row["marks"]) for row in attempts)
