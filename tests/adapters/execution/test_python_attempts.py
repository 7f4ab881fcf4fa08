"""Python attempts in warm workers: results, exceptions, output, crashes, stops."""

import json
import signal
from typing import Any

import pytest

from engine.execution import proc
from engine.model.status import OutcomeKind
from engine.model.workflow import Python, Quota

pytestmark = pytest.mark.trio


async def test_the_return_value_is_the_result(world: Any) -> None:
    attempt = world.python("m:f", "def f(a, b=1):\n    return {'sum': a + b}\n", args={"a": 2, "b": 3})
    ended = await world.end(attempt)
    assert (ended.outcome.kind, ended.result) == (OutcomeKind.SUCCEEDED, b'{"sum": 5}')
    assert ended.log.path == ""
    assert world.begun(attempt) is not None


async def test_a_long_result_arrives_and_a_longer_one_fails(world: Any) -> None:
    source = "def f(n):\n    return 'x' * n\n"
    ended = await world.end(world.python("m:f", source, args={"n": 100_000}))
    assert len(ended.result) == 100_002
    ended = await world.end(world.python("m:f", args={"n": 2**20}))
    assert ended.outcome.kind is OutcomeKind.FAILED
    assert "longer than 1 MiB" in ended.outcome.why


async def test_a_value_that_is_no_json_fails_clearly(world: Any) -> None:
    source = "def f(which):\n    return {'set': {1}, 'nan': float('nan')}[which]\n"
    for which in ("set", "nan"):
        ended = await world.end(world.python("m:f", source, args={"which": which}))
        assert ended.outcome.kind is OutcomeKind.FAILED
        assert ended.outcome.why.startswith("result is not JSON")


async def test_an_exception_is_named_in_full_and_its_traceback_is_the_users_own(world: Any) -> None:
    source = "class Bad(Exception): pass\ndef g():\n    raise Bad('no rows')\ndef f():\n    print('before')\n    g()\n"
    ended = await world.end(world.python("m:f", source))
    assert (ended.outcome.kind, ended.outcome.exit_code) == (OutcomeKind.FAILED, 1)
    assert (ended.outcome.exception, ended.outcome.why) == ("m.Bad", "no rows")
    text = world.log(ended)
    assert text.startswith("before\nTraceback (most recent call last):\n")
    assert "worker.py" not in text
    assert text.endswith("m.Bad: no rows\n")


async def test_a_missing_module_or_function_fails_with_its_name(world: Any) -> None:
    ended = await world.end(world.python("nowhere:f"))
    assert ended.outcome.exception == "ModuleNotFoundError"
    ended = await world.end(world.python("m:nothing", "x = 1\n"))
    assert ended.outcome.exception == "AttributeError"


async def test_a_worker_whose_descriptors_were_closed_ends_though_a_thread_was_left_behind(world: Any) -> None:
    source = (
        "import os, threading, time\n"
        "def wait():\n    threading.Thread(target=time.sleep, args=(600,)).start()\n"
        "def close():\n    os.closerange(3, 64)\n"
    )
    assert (await world.end(world.python("m:wait", source))).outcome.kind is OutcomeKind.SUCCEEDED
    ended = await world.end(world.python("m:close"))
    assert (ended.outcome.kind, ended.outcome.exit_code) == (OutcomeKind.FAILED, 1)
    assert (await world.end(world.python("m:wait"))).outcome.kind is OutcomeKind.SUCCEEDED


async def test_system_exit_gives_the_exit_code(world: Any) -> None:
    source = "import sys\ndef f(n):\n    sys.exit(n)\n"
    ended = await world.end(world.python("m:f", source, args={"n": 4}))
    assert (ended.outcome.kind, ended.outcome.exit_code) == (OutcomeKind.FAILED, 4)
    ended = await world.end(world.python("m:f", args={"n": 0}))
    assert ended.outcome.kind is OutcomeKind.SUCCEEDED


async def test_each_attempt_has_its_own_slice_of_the_workers_log(world: Any) -> None:
    source = (
        "import sys, os\ndef f(n):\n    print('out', n)\n    print('err', n, file=sys.stderr)\n"
        "    os.system(f'echo sub {n}')\n"
    )
    world.python("m:f", source, args={"n": 0})
    for n in (1, 2, 3):
        ended = await world.end(world.python("m:f", args={"n": n}))
        assert world.log(ended) == f"out {n}\nerr {n}\nsub {n}\n"


async def test_a_worker_is_kept_and_knows_which_attempt_it_runs(world: Any) -> None:
    source = (
        "import os\ndef f():\n    e = os.environ\n"
        "    return [os.getpid(), e['ORCHCTL_TASK'], e.get('PARAM_X'), os.getcwd()]\n"
    )
    first = (await world.end(world.python("m:f", source, task="a", env=(("PARAM_X", "1"),)))).result
    second = (await world.end(world.python("m:f", task="b", claim_from=0))).result
    one, two = json.loads(first), json.loads(second)
    assert one[1:] == ["a", "1", str(world.dir)]
    assert two[1:] == ["b", None, str(world.dir)]
    assert one[0] == two[0]
    assert world.executor.processes()["workers"] == [one[0]]


async def test_changed_sources_reach_the_next_attempt(world: Any) -> None:
    assert (await world.end(world.python("m:f", "def f():\n    return 1\n"))).result == b"1"
    assert (await world.end(world.python("m:f", "def f():\n    return 'two'\n"))).result == b'"two"'


@pytest.mark.parametrize(
    ("code", "kind", "detail"),
    [
        ("os._exit(7)", OutcomeKind.FAILED, 7),
        ("os.kill(os.getpid(), 11)", OutcomeKind.SIGNALLED, 11),
        ("os._exit(0)", OutcomeKind.FAILED, 0),
    ],
)
async def test_a_crash_of_the_worker_ends_its_attempt_only(world: Any, code: str, kind: Any, detail: int) -> None:
    source = f"import os\ndef f():\n    print('so far', flush=True)\n    {code}\ndef g(n):\n    return n\n"
    crashing = world.order(Python("m:f"))
    world.file("m.py").write_text(source)
    others = [world.order(Python("m:g", args={"n": n}), claim_from=crashing.attempt) for n in range(3)]
    world.executor.start([crashing, *others])
    ended = await world.end(crashing.attempt)
    assert ended.outcome.kind is kind
    assert detail in (ended.outcome.exit_code, ended.outcome.signal)
    assert world.log(ended) == "so far\n"
    for n, order in enumerate(others):
        assert (await world.end(order.attempt)).result == str(n).encode()


async def test_a_forked_child_that_returns_does_not_disturb_the_worker(world: Any) -> None:
    source = (
        "import os\ndef f():\n    pid = os.fork()\n    if pid:\n        os.waitpid(pid, 0)\n"
        "    return 'parent' if pid else 'child'\n"
    )
    ended = await world.end(world.python("m:f", source))
    assert ended.result == b'"parent"'
    assert (await world.end(world.python("m:f"))).result == b'"parent"'
    assert len(world.ends(ended.attempt)) == 1


async def test_children_that_a_function_leaves_behind_are_killed(world: Any) -> None:
    source = (
        "import subprocess, os, time\ndef f():\n    subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
        "    if os.fork() == 0:\n        os.setsid()\n"
        "        if os.fork() == 0:\n            time.sleep(600)\n        os._exit(0)\n"
    )
    ended = await world.end(world.python("m:f", source))
    assert ended.outcome.kind is OutcomeKind.SUCCEEDED
    await world.until(lambda: not world.marked(), "the end of the children")
    assert (await world.end(world.python("m:f"))).outcome.kind is OutcomeKind.SUCCEEDED


async def test_isolate_gives_an_attempt_a_process_of_its_own(world: Any) -> None:
    source = "import os\ndef f():\n    print('hello')\n    return os.getpid()\n"
    first = await world.end(world.python("m:f", source, isolate=True, task="alone"))
    second = await world.end(world.python("m:f", isolate=True))
    assert first.result != second.result
    assert first.log.path == "r1/alone.1.log"
    assert world.log(first) == "hello\n"
    await world.until(lambda: world.executor.processes()["workers"] == [], "the end of the workers")


async def test_a_script_runs_as_main_with_its_arguments(world: Any) -> None:
    source = (
        "import json, os, sys\nif __name__ == '__main__':\n"
        "    print(json.loads(os.environ['ORCHCTL_ARGS']), sys.argv)\n"
        "    open(os.environ['ORCHCTL_RESULT'], 'w').write('[1]')\n"
    )
    ended = await world.end(world.python("work.py", source, args={"n": 1}))
    assert (ended.outcome.kind, ended.result) == (OutcomeKind.SUCCEEDED, b"[1]")
    assert world.log(ended) == f"{{'n': 1}} ['{world.dir}/work.py']\n"


async def test_stopping_one_python_attempt_leaves_the_others(world: Any) -> None:
    source = (
        "import time\ndef slow():\n    print('up', flush=True)\n    open('up', 'w').write('x')\n    time.sleep(600)\n"
        "def g():\n    return 1\n"
    )
    slow = world.python("m:slow", source)
    await world.file_there("up")
    other = world.python("m:g")
    world.stop(slow)
    ended = await world.end(slow)
    assert (ended.outcome.kind, ended.outcome.signal) == (OutcomeKind.CANCELLED, signal.SIGTERM)
    assert world.log(ended) == "up\n"
    assert (await world.end(other)).result == b"1"


async def test_the_wall_limit_ends_a_python_attempt(world: Any) -> None:
    source = "import time, signal\ndef f():\n    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n    time.sleep(600)\n"
    ended = await world.end(world.python("m:f", source, quota=Quota(wall_ns=400_000_000)))
    assert (ended.outcome.kind, ended.outcome.signal) == (OutcomeKind.TIMED_OUT, signal.SIGKILL)


async def test_a_memory_error_at_the_quota_is_over_quota(world: Any) -> None:
    source = "def f():\n    return len(bytearray(10**9))\n"
    ended = await world.end(world.python("m:f", source, quota=Quota(memory_bytes=200 * 2**20)))
    assert ended.outcome.text == "over_quota.memory"
    assert ended.outcome.limit == 200 * 2**20
    world.file("eat.py").write_text("bytearray(10**9)")
    ended = await world.end(world.start(["python3", "eat.py"], quota=Quota(memory_bytes=200 * 2**20)))
    assert ended.outcome.text == "over_quota.memory"


async def test_an_interpreter_that_does_not_exist_was_not_started(world: Any) -> None:
    ended = await world.end(world.python("m:f", "def f(): pass\n", interpreter="/no/such/python"))
    assert ended.outcome.kind is OutcomeKind.NOT_STARTED
    ended = await world.end(world.python("m:f", interpreter="/bin/false"))
    assert ended.outcome.kind is OutcomeKind.NOT_STARTED
    assert "exit 1" in ended.outcome.why


async def test_a_python_attempt_that_is_held_is_recalled(world: Any) -> None:
    source = (
        "import time\ndef slow():\n    open('up', 'w').write('x')\n    time.sleep(600)\n"
        "def g():\n    open('ran', 'w')\n"
    )
    world.file("m.py").write_text(source)
    first = world.order(Python("m:slow"))
    second = world.order(Python("m:g"), claim_from=first.attempt)
    world.executor.start([first, second])
    pid = (await world.started(first.attempt)).pid
    await world.file_there("up")
    world.stop(second.attempt)
    assert (await world.end(second.attempt)).outcome.kind is OutcomeKind.CANCELLED
    assert proc.start_ticks(pid)
    world.stop(first.attempt, kill=True)
    assert (await world.end(first.attempt)).outcome.signal == signal.SIGKILL
    assert not world.file("ran").exists()


async def test_a_chain_of_python_attempts_runs_in_order_in_one_worker(world: Any) -> None:
    world.file("m.py").write_text("import os\ndef f(n):\n    print(n)\n    return [n, os.getpid()]\n")
    orders = [world.order(Python("m:f", args={"n": 0}))]
    for n in range(1, 300):
        orders.append(world.order(Python("m:f", args={"n": n}), claim_from=orders[-1].attempt, run=1 + n // 100))
    world.executor.start(orders)
    ends = [await world.end(order.attempt) for order in orders]
    results = [json.loads(end.result) for end in ends]
    assert [n for n, _ in results] == list(range(300))
    assert len({pid for _, pid in results}) == 1
    assert [world.log(end) for end in ends] == [f"{n}\n" for n in range(300)]
    assert ends[150].log.path.startswith("r2/workers/")
    assert [event.at_ns for event in ends] == sorted(event.at_ns for event in ends)


async def test_one_of_a_chain_is_recalled_and_the_rest_goes_on(world: Any) -> None:
    world.file("m.py").write_text("import time\ndef f(n):\n    time.sleep(n)\n    open(f'ran{n}', 'w')\n")
    times = (0.4, 0.01, 0.02, 0.03)
    orders = [world.order(Python("m:f", args={"n": times[0]}))]
    for n in times[1:]:
        orders.append(world.order(Python("m:f", args={"n": n}), claim_from=orders[-1].attempt))
    world.executor.start(orders)
    await world.started(orders[0].attempt)
    world.stop(orders[2].attempt)
    kinds = [(await world.end(order.attempt)).outcome.kind for order in orders]
    assert kinds == [OutcomeKind.SUCCEEDED, OutcomeKind.SUCCEEDED, OutcomeKind.CANCELLED, OutcomeKind.SUCCEEDED]
    assert not world.file("ran0.02").exists()
    assert world.file("ran0.03").exists()


async def test_stopping_the_one_that_runs_spares_those_behind_it(world: Any) -> None:
    world.file("m.py").write_text("import time\ndef f(n):\n    open(f'up{n}', 'w').write('x')\n    time.sleep(n)\n")
    slow = world.order(Python("m:f", args={"n": 600}))
    rest = [world.order(Python("m:f", args={"n": 0}), claim_from=slow.attempt) for _ in range(5)]
    world.executor.start([slow, *rest])
    await world.file_there("up600")
    world.stop(slow.attempt, kill=True)
    assert (await world.end(slow.attempt)).outcome.kind is OutcomeKind.CANCELLED
    for order in rest:
        assert (await world.end(order.attempt)).outcome.kind is OutcomeKind.SUCCEEDED


async def test_the_log_of_a_flooding_function_is_cut_and_the_next_slice_is_right(world: Any) -> None:
    source = "def flood():\n    for _ in range(3000):\n        print('x' * 1000)\ndef g():\n    print('fine')\n"
    source += "import time\ndef wait():\n    flood()\n    time.sleep(1.5)\n"
    ended = await world.end(world.python("m:wait", source, quota=Quota(log_bytes=10_000)))
    assert world.log(ended).endswith("[orchctl: log cut at 10000 bytes]\n")
    assert ended.log.length < 11_000
    assert world.log(await world.end(world.python("m:g"))) == "fine\n"


async def test_what_an_interpreter_says_when_it_cannot_start_is_in_the_log(world: Any) -> None:
    fake = world.file("python")
    fake.write_text("#!/bin/sh\necho no libraries here >&2\nexit 9\n")
    fake.chmod(0o700)
    ended = await world.end(world.python("m:f", "def f(): pass\n", interpreter=str(fake)))
    assert ended.outcome.kind is OutcomeKind.NOT_STARTED
    assert world.log(ended) == "no libraries here\n"
