"""Attempts that are processes: how they begin, what they are given, and how they end."""

import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import trio

from engine.core.events import AttemptExited, AttemptNeverStarted, AttemptStarted
from engine.execution import proc
from engine.model.resources import Binding
from engine.model.status import OutcomeKind
from engine.model.workflow import Quota, Shell, Stop

pytestmark = pytest.mark.trio

ROOT = str(Path(__file__).parents[3])

DAEMONS = """
import os, subprocess, sys, time
sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
subprocess.Popen(sleep, start_new_session=True)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(600)
    os._exit(0)
subprocess.Popen(["env", "-i", *sleep], start_new_session=True)
open("ready", "w").write("yes")
"""


async def test_exit_codes_and_signals_become_outcomes(world: Any) -> None:
    good, bad, hit = world.start(["true"]), world.start("exit 3"), world.start("kill -SEGV $$")
    ended = await world.end(good)
    assert (ended.outcome.kind, ended.outcome.exit_code) == (OutcomeKind.SUCCEEDED, 0)
    assert ended.usage.max_rss_bytes > 100_000
    ended = await world.end(bad)
    assert (ended.outcome.kind, ended.outcome.exit_code) == (OutcomeKind.FAILED, 3)
    ended = await world.end(hit)
    assert (ended.outcome.kind, ended.outcome.signal) == (OutcomeKind.SIGNALLED, signal.SIGSEGV)


async def test_a_start_is_reported_once_and_before_the_end(world: Any) -> None:
    attempt = world.start("sleep 0.2")
    begun = await world.started(attempt)
    assert proc.start_ticks(begun.pid) == begun.start_ticks > 0
    await world.end(attempt)
    mine = [type(event) for event in world.events if event.attempt == attempt]
    assert mine == [AttemptStarted, AttemptExited]


async def test_what_cannot_be_executed_was_not_started_and_says_why(world: Any) -> None:
    gone = await world.end(world.start(["./extract.sh"]))
    assert gone.outcome.kind is OutcomeKind.NOT_STARTED
    assert gone.outcome.why == "no such file: ./extract.sh"
    unknown = await world.end(world.start(["no-such-program-here"]))
    assert unknown.outcome.why == "no such program in PATH: no-such-program-here"
    world.file("plain.sh").write_text("echo hello")
    denied = await world.end(world.start(["./plain.sh"]))
    assert denied.outcome.why == "permission denied: ./plain.sh"
    nowhere = await world.end(world.start(["true"], dir="/no/such/folder"))
    assert nowhere.outcome.kind is OutcomeKind.NOT_STARTED
    assert nowhere.outcome.why == "no such folder: /no/such/folder"
    script = world.file("script.sh")
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    alone = await world.end(world.start(["./script.sh"]))
    assert alone.outcome.why == "the interpreter of ./script.sh does not exist"
    nul = await world.end(world.start(["echo", "a\0b"]))
    assert nul.outcome.kind is OutcomeKind.NOT_STARTED


async def test_both_outputs_go_to_one_log_in_the_order_of_writing(world: Any) -> None:
    ended = await world.end(world.start("echo one; echo two >&2; echo three", task="load", index=4, number=2))
    assert ended.log.path == "r1/load.4.2.log"
    assert world.log(ended) == "one\ntwo\nthree\n"


async def test_an_attempt_that_writes_nothing_leaves_no_log(world: Any) -> None:
    ended = await world.end(world.start(["true"], task="quiet"))
    assert ended.log.path == ""
    assert not (world.logs / "r1" / "quiet.1.log").exists()


async def test_silent_attempts_pass_their_log_on_and_each_that_writes_keeps_its_own(world: Any) -> None:
    orders = [world.order(["true"], task="t0")]
    for number in range(1, 8):
        script = "true" if number % 3 else f"echo {number}; dd of=/dev/stdout oflag=nonblock conv=notrunc < /dev/null"
        orders.append(world.order(script, task=f"t{number}", claim_from=orders[-1].attempt))
    world.executor.start(orders)
    ends = [await world.end(order.attempt) for order in orders]
    assert {end.log.path: world.log(end).splitlines()[0] for end in ends if end.log.path} == {
        "r1/t3.1.log": "3",
        "r1/t6.1.log": "6",
    }
    await world.until(lambda: len(list((world.logs / "r1").iterdir())) == 2, "removal of the empty log")


async def test_a_link_in_place_of_the_log_is_not_followed(world: Any) -> None:
    target = world.file("precious")
    (world.logs / "r1").mkdir()
    (world.logs / "r1" / "trap.1.log").symlink_to(target)
    ended = await world.end(world.start("echo x", task="trap"))
    assert ended.outcome.kind is OutcomeKind.NOT_STARTED
    assert not target.exists()


async def test_the_environment_is_the_base_the_passed_and_the_declared(world: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("SECRET_OF_ENGINE", "no")
    monkeypatch.setenv("AWS_REGION", "eu")
    await world.leave()
    await world.enter(world.nursery)
    env = (("MODE", "fast"), ("PARAM_DAY", "monday"))
    ended = await world.end(world.start(["env"], env=env, pass_env=("AWS_*",), index=7, task="show"))
    told = dict(line.split("=", 1) for line in world.log(ended).splitlines())
    assert told["PATH"] == os.environ["PATH"]
    assert (told["MODE"], told["PARAM_DAY"], told["AWS_REGION"]) == ("fast", "monday", "eu")
    assert (told["ORCHCTL_RUN"], told["ORCHCTL_TASK"], told["ORCHCTL_INDEX"]) == ("r1", "show", "7")
    assert "SECRET_OF_ENGINE" not in told


async def test_a_process_has_a_session_no_input_and_default_signals(world: Any) -> None:
    script = "cat; ps -o pid=,sid= -p $$; grep -E 'Sig(Blk|Ign)' /proc/self/status; ls /proc/self/fd | wc -l"
    ended = await world.end(world.start(Shell(script)))
    words = world.log(ended).split()
    assert words[0] == words[1]
    of_libc = 1 << 31 | 1 << 32
    assert [int(words[3], 16), int(words[5], 16) & ~of_libc] == [0, 0]
    assert int(words[6]) <= 5


async def test_what_the_engine_ignores_its_attempts_do_not(world: Any) -> None:
    await world.executor.shutdown(kill=True)
    await world.leave()
    handler = signal.signal(signal.SIGQUIT, signal.SIG_IGN)
    try:
        await world.enter(world.nursery)
    finally:
        signal.signal(signal.SIGQUIT, handler)
    ended = await world.end(world.start("grep SigIgn /proc/self/status"))
    of_libc = 1 << 31 | 1 << 32
    assert int(world.log(ended).split()[1], 16) & ~of_libc == 0


async def test_a_result_file_becomes_the_result(world: Any) -> None:
    short = await world.end(world.start("""echo '{"rows": 3}' > $ORCHCTL_RESULT"""))
    assert short.result == b'{"rows": 3}\n'
    long = await world.end(world.start("""printf '"%050000d"' 7 > $ORCHCTL_RESULT"""))
    assert long.result is not None
    assert len(long.result) == 50_002
    world.executor.acknowledge([short.attempt, long.attempt])
    await world.until(lambda: not any((world.home / "execution" / "results").iterdir()), "removal of results")


async def test_a_bad_result_makes_a_success_a_failure(world: Any) -> None:
    for script in (
        "echo oops > $ORCHCTL_RESULT",
        "mkfifo $ORCHCTL_RESULT",
        "head -c 2000000 /dev/zero > $ORCHCTL_RESULT",
    ):
        ended = await world.end(world.start(script))
        assert ended.outcome.kind is OutcomeKind.FAILED
        assert ended.outcome.why.startswith("result ")
        assert ended.result is None


async def test_a_log_is_cut_at_its_cap_with_a_mark_and_the_process_goes_on(world: Any) -> None:
    ended = await world.end(world.start("head -c 3000000 /dev/zero; echo end", quota=Quota(log_bytes=100_000)))
    assert ended.outcome.kind is OutcomeKind.SUCCEEDED
    text = world.log(ended)
    assert text.endswith("[orchctl: log cut at 100000 bytes]\n")
    assert len(text) < 100_100


async def test_a_log_stays_bounded_while_its_process_floods_it(world: Any) -> None:
    attempt = world.start("yes", quota=Quota(log_bytes=50_000))
    path = world.logs / "r1" / f"t{attempt}.1.log"
    await world.until(lambda: path.exists() and b"log cut at 50000" in path.read_bytes()[:60_000], "the cut")
    world.stop(attempt, kill=True)
    ended = await world.end(attempt)
    assert ended.outcome.kind is OutcomeKind.CANCELLED
    assert ended.log.length < 51_000


async def test_stop_is_polite_and_then_kills(world: Any) -> None:
    polite = world.start("trap 'echo bye; exit 5' TERM; touch up; while :; do sleep 0.05; done")
    await world.until(lambda: world.file("up").exists())
    world.stop(polite)
    ended = await world.end(polite)
    assert (ended.outcome.kind, ended.outcome.exit_code) == (OutcomeKind.CANCELLED, 5)
    assert "bye" in world.log(ended)
    deaf = world.start("trap '' TERM INT; touch up2; while :; do sleep 0.05; done", stop=Stop(signal=2, grace_ns=10**8))
    await world.until(lambda: world.file("up2").exists())
    world.stop(deaf)
    ended = await world.end(deaf)
    assert (ended.outcome.kind, ended.outcome.signal) == (OutcomeKind.CANCELLED, signal.SIGKILL)


async def test_the_wall_limit_ends_a_process_that_ignores_the_stop_signal(world: Any) -> None:
    attempt = world.start("trap '' TERM; while :; do sleep 0.05; done", quota=Quota(wall_ns=300_000_000))
    ended = await world.end(attempt)
    assert (ended.outcome.kind, ended.outcome.signal) == (OutcomeKind.TIMED_OUT, signal.SIGKILL)
    assert ended.at_ns - world.begun(attempt).at_ns < 2_000_000_000


async def test_the_wall_limit_holds_while_the_engine_is_away(world: Any) -> None:
    attempt = world.start("sleep 600", quota=Quota(wall_ns=300_000_000))
    pid = (await world.started(attempt)).pid
    await world.leave()
    await world.until(lambda: proc.start_ticks(pid) == 0, "the end of the process")
    await world.enter(world.nursery, [attempt])
    assert (await world.end(attempt)).outcome.kind is OutcomeKind.TIMED_OUT


async def test_daemons_that_left_the_session_are_killed_and_the_outcome_stays(world: Any) -> None:
    world.file("daemons.py").write_text(DAEMONS)
    attempt = world.start(["python3", "daemons.py"])
    assert (await world.end(attempt)).outcome.kind is OutcomeKind.SUCCEEDED
    assert world.marked() == {}
    assert world.file("ready").exists()


async def test_an_attempt_ends_only_when_its_tree_is_empty(world: Any) -> None:
    attempt = world.start("trap '' TERM; (sleep 0.5; echo late > late) & exit 0", stop=Stop(grace_ns=2 * 10**9))
    await world.end(attempt)
    assert world.file("late").exists()


async def test_a_stop_reaches_daemons_too(world: Any) -> None:
    world.file("daemons.py").write_text(DAEMONS + "\ntime.sleep(600)\n")
    attempt = world.start(["python3", "daemons.py"])
    await world.file_there("ready")
    await world.until(lambda: len(world.marked()) >= 4, "the daemons")
    world.stop(attempt)
    assert (await world.end(attempt)).outcome.kind is OutcomeKind.CANCELLED
    assert world.marked() == {}


async def test_a_follower_starts_when_the_tree_before_it_is_empty(world: Any) -> None:
    first = world.order("sleep 0.3; echo first >> order")
    second = world.order("echo second >> order", claim_from=first.attempt)
    world.executor.start([first, second])
    await world.end(second.attempt)
    assert world.file("order").read_text() == "first\nsecond\n"


async def test_a_log_that_served_a_silent_attempt_gets_the_name_of_the_one_that_writes(world: Any) -> None:
    silent = world.order("sleep 0.2")
    loud = world.order("echo loud; until test -e go; do sleep 0.02; done; echo done", claim_from=silent.attempt)
    quiet = world.order("true", claim_from=loud.attempt)
    brief = world.order("echo brief", claim_from=quiet.attempt)
    world.executor.start([silent, loud, quiet, brief])
    began = await world.started(loud.attempt)
    path = world.logs / began.log.path
    await world.until(lambda: path.exists() and path.read_text() == "loud\n", "its name, while it runs")
    world.file("go").touch()
    assert world.log(await world.end(loud.attempt)) == "loud\ndone\n"
    ended = await world.end(brief.attempt)
    assert (world.log(ended), ended.log.path) == ("brief\n", world.begun(brief.attempt).log.path)
    kept = {file.name for file in path.parent.rglob("*") if file.is_file()}
    assert kept == {path.name, (world.logs / ended.log.path).name}, "and nothing is left of the others"


async def test_a_held_order_can_be_recalled(world: Any) -> None:
    first = world.order("sleep 600")
    second = world.order("touch second", claim_from=first.attempt)
    third = world.order("touch third", claim_from=second.attempt)
    world.executor.start([first, second, third])
    await world.started(first.attempt)
    world.stop(third.attempt)
    ended = await world.end(third.attempt)
    assert ended.outcome.kind is OutcomeKind.CANCELLED
    assert world.begun(third.attempt) is None
    world.stop(second.attempt)
    await world.end(second.attempt)
    world.stop(first.attempt, kill=True)
    await world.end(first.attempt)
    assert not world.file("second").exists()
    assert not world.file("third").exists()


async def test_more_attempts_than_a_process_may_have_files_run_at_once(world: Any) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert hard > 4096
    await world.executor.shutdown(kill=True)
    await world.leave()
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard))
    world.launchers = 1
    try:
        await world.enter(world.nursery)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    attempts = [world.start("ulimit -n; sleep 600") for _ in range(150)]
    for attempt in attempts:
        await world.started(attempt)
    for attempt in attempts:
        world.stop(attempt, kill=True)
    ends = [await world.end(attempt) for attempt in attempts]
    assert {end.outcome.kind for end in ends} == {OutcomeKind.CANCELLED}
    assert {world.log(end) for end in ends} <= {"128\n", ""}


async def test_who_waited_for_a_recalled_order_still_waits_for_the_claim(world: Any) -> None:
    first = world.order("sleep 0.4; echo first >> order")
    second = world.order("echo second >> order", claim_from=first.attempt)
    third = world.order("echo third >> order", claim_from=second.attempt)
    world.executor.start([first, second, third])
    await world.started(first.attempt)
    world.stop(second.attempt)
    await world.end(second.attempt)
    await world.end(third.attempt)
    assert world.file("order").read_text() == "first\nthird\n"


async def test_an_order_of_which_nothing_has_begun_can_be_recalled_and_what_runs_goes_on(world: Any) -> None:
    first = world.order("sleep 0.5; echo first >> order")
    second = world.order("echo second >> order", claim_from=first.attempt)
    third = world.order("echo third >> order", claim_from=second.attempt)
    world.executor.start([first, second, third])
    await world.started(first.attempt)
    world.executor.recall([first.attempt, second.attempt])
    back = AttemptNeverStarted(second.attempt, "recalled: the attempt before it takes long")
    await world.until(lambda: back in world.events, "the order to come back")
    await world.end(third.attempt)
    assert world.file("order").read_text() == "first\nthird\n"


FULL_HOST = """
import os, resource, sys, tempfile
from pathlib import Path
from engine.execution import launcher, loop, places
class Ear:
    def __init__(self): self.told = []
    def send(self, message): self.told += [fact[1]["o"] for fact in message[1] if fact[0] == "exit"]
home = Path(tempfile.mkdtemp())
if os.getuid() == 0:
    os.chown(home, 65534, 65534)
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
where = places.Places(home, home / "run", home / "logs")
where.prepare()
hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
resource.setrlimit(resource.RLIMIT_NPROC, (0, hard))
turns = loop.Loop()
made = launcher.Launcher(turns, where, 0, 7)
made.engine = ear = Ear()
made.on_message(ear, ["env", "e", {"PATH": "/bin"}])
made.on_message(ear, ["start", [dict(attempt=1, run=1, workflow="w", version="v", task="t", index=-1, number=1,
    dir="/", env="e", extra={}, wall_ns=0, memory=0, processes=0, log_bytes=0, limits={}, cpus=[], signal=15,
    grace_ns=10**9, after=0, count=1, argv=["/bin/true"])]])
turns.later(0, lambda: None)
turns.turn()
if sys.argv[1] == "for a moment":
    turns.later(0.3, lambda: resource.setrlimit(resource.RLIMIT_NPROC, (hard, hard)))
elif sys.argv[1] == "until it is stopped":
    turns.later(0.3, lambda: made.on_message(ear, ["stop", [[1, False]]]))
turns.later(20, lambda: sys.exit("nothing was told"))
while not ear.told:
    turns.turn()
print(ear.told[0])
"""


@pytest.mark.parametrize(
    ("full", "outcome"),
    [
        ("for a moment", "{'kind': 'succeeded', 'exit_code': 0}"),
        ("until it is stopped", "{'kind': 'cancelled'}"),
        ("always", "resource temporarily unavailable: /bin/true (tried 21 times in 2 s)"),
    ],
)
async def test_what_the_host_has_no_room_for_is_tried_again_for_a_while(full: str, outcome: str) -> None:
    words = [sys.executable, "-c", FULL_HOST, full]
    done = await trio.run_process(words, capture_stdout=True, capture_stderr=True, cwd=ROOT)
    assert done.stderr == b""
    assert outcome in done.stdout.decode()


WHERE = (
    "import os; told = [os.environ.get(name) for name in ('ORCHCTL_CPUS', 'CUDA_VISIBLE_DEVICES')];"
    "print(sorted(os.sched_getaffinity(0)), *told)"
)
CPUS = sorted(os.sched_getaffinity(0))


async def test_a_binding_is_where_the_process_runs_and_what_it_is_told(world: Any) -> None:
    binding = Binding((CPUS[0],), (("GPU-1", 1000), ("GPU-2", 1000)))
    words = [sys.executable, "-c", f"import time; time.sleep(0.1); {WHERE}"]
    ended = await world.end(world.start(words, binding=binding))
    assert world.log(ended) == f"[{CPUS[0]}] {CPUS[0]} GPU-1,GPU-2\n"
    ended = await world.end(world.start([sys.executable, "-c", WHERE]))
    assert world.log(ended) == f"{CPUS} None None\n"


@pytest.mark.skipif(len(CPUS) < 2, reason="there is one CPU only")
async def test_what_is_not_pinned_leaves_cpus_that_are_and_comes_back(world: Any) -> None:
    sleeper = world.start(["sleep", "600"])
    pid = (await world.started(sleeper)).pid
    world.executor.share(CPUS[1:])
    await world.until(lambda: sorted(os.sched_getaffinity(pid)) == CPUS[1:], "the move of what runs")
    ended = await world.end(world.start([sys.executable, "-c", WHERE]))
    assert world.log(ended) == f"{CPUS[1:]} None None\n"
    world.executor.share(CPUS)
    await world.until(lambda: sorted(os.sched_getaffinity(pid)) == CPUS, "the move back")
    world.stop(sleeper, kill=True)
    await world.end(sleeper)


async def test_a_bound_python_attempt_has_a_process_of_its_own(world: Any) -> None:
    source = "import os\ndef f():\n    return [os.getpid(), sorted(os.sched_getaffinity(0))]\n"
    first = await world.end(world.python("m:f", source, binding=Binding((CPUS[0],))))
    second = await world.end(world.python("m:f"))
    (one, where), (two, _) = json.loads(first.result), json.loads(second.result)
    assert one != two
    assert where == [CPUS[0]]
