"""From YAML to the workflow that the model describes, and every fault with its line, field and hint."""

import time

import msgspec
import pytest

from engine.definition.check import check
from engine.definition.load import parse_yaml
from engine.model.campaign import Campaign, Metric
from engine.model.errors import DefinitionError
from engine.model.instants import MINUTE, SECOND
from engine.model.resources import Claim
from engine.model.workflow import (
    Command,
    Need,
    Param,
    Policy,
    Python,
    Quota,
    Retry,
    Schedule,
    Shell,
    Stop,
    Workflow,
    decode,
    encode,
    version_of,
)  # fmt: skip

ORDERS = """\
name: orders
owner: data-platform
schedule: {cron: "15 2 * * *", timezone: Europe/Berlin, dst: {gap: run_after, fold: first}}
catch_up: last
if_running: skip
params:
  day: {type: date, default: "{{ partition }}"}
pools: {warehouse: 4}
defaults: {retry: {limit: 2}, claim: {cpu: 1}}
tasks:
  extract:
    run: ["./extract.sh", "--day", "{{ params.day }}"]
    claim: {cpu: 2, memory: 1GiB, pools: {warehouse: 1}}
    quota: {memory: 2GiB, wall: 30m, processes: 64}
    retry: {limit: 4, delay: 10s, backoff: 2, max_delay: 10m, jitter: full, on: [failed, over_quota.memory],
            grow: {memory: 2}}
    outputs: ["orders/{{ params.day }}"]
  clean:
    python: pipelines.orders:clean
    args: {shard: "{{ item }}"}
    needs: [extract]
    for_each: "{{ range(64) }}"
    max_parallel: 8
  publish:
    needs: [clean]
    trigger_rule: all_success
    run: ./publish.sh && echo done
    stop: {signal: TERM, grace: 10s}
"""


def parse(text: str) -> Workflow:
    return parse_yaml(text, "dir/flow.yaml", "/dir")


def faults_of(text: str) -> list[str]:
    with pytest.raises(DefinitionError) as caught:
        parse(text)
    return [fault.render() for fault in caught.value.faults]


def task_faults(fields: str) -> list[str]:
    return faults_of(f"tasks:\n  a: {{run: x}}\n  b: {fields}\n")


def test_the_design_s_example_becomes_its_workflow() -> None:
    workflow = parse(ORDERS)
    extract, clean, publish = workflow.tasks
    assert workflow.schedules == (Schedule(cron="15 2 * * *", timezone="Europe/Berlin"),)
    assert (workflow.catch_up, workflow.if_running, workflow.pools) == ("last", "skip", (("warehouse", 4),))
    assert workflow.params == (Param("day", "date", "{{ partition }}"),)
    assert workflow.policies[clean.policy] == Policy(retry=Retry(limit=2), claim=Claim(1000))
    assert workflow.policies[extract.policy] == Policy(
        claim=Claim(2000, 2**30, (("warehouse", 1),)),
        quota=Quota(30 * MINUTE, 2**31, 64),
        retry=Retry(4, 10 * SECOND, 2.0, 10 * MINUTE, "full", ("failed", "over_quota.memory"), grow=(("memory", 2.0),)),
    )
    assert extract.action == Command(("./extract.sh", "--day", "{{ params.day }}"))
    assert extract.outputs == ("orders/{{ params.day }}",)
    assert clean.action == Python("pipelines.orders:clean", {"shard": "{{ item }}"})
    assert (clean.needs, clean.for_each, clean.max_parallel) == ((Need("extract"),), "{{ range(64) }}", 8)
    assert publish.action == Shell("./publish.sh && echo done")
    assert workflow.policies[publish.policy].stop == Stop(15, 10 * SECOND)
    assert workflow.source.folder == "/dir"
    assert check(decode(encode(workflow))) == []


def test_every_further_key_is_understood() -> None:
    workflow = parse("""\
description: all keys
tags: [x, y]
durability: relaxed
schedule: [{every: 1h, anchor: 2026-01-01T00:30:00Z}, "@daily", {cron: "0 0 * * mon", dst: {gap: skip, fold: both}}]
params: {a: 2026-01-01, b: 5, c: true, d: [1], e: {choices: [u, v], default: u, description: e}, f: {type: map}, g: 1.5}
defaults:
  {env: {A: "1", B: x}, dir: sub, pass_env: ["AWS_*"], trigger_rule: all_done, priority: 5, on_lost: hold, stop: {signal: INT}}
tasks:
  up: {run: x, setup: true, owner: me, tags: t, description: d}
  m: {run: x, for_each: [1, {a: 2}], tolerate: 5%, needs: up}
  n:
    shell: a | b
    for_each: [3, 4]
    tolerate: 2
    needs: [{task: m, same_index: true}, up]
    when: needs.m.status == "succeeded"
    retry: 3
    env: {B: "{{ item }}", C: 010}
    claim: {cpu: "0.5", pools: [q, p]}
    pass_env: X
    priority: -7
  p: {python: s.py, isolate: true, interpreter: /usr/bin/python3, retry: {on: timed_out, exit_codes: 75, exceptions: [E]}}
  down: {run: x, teardown: up, needs: [n], quota: {log: 1M}}
  all:
    run: x
    quota:
      {threads: 9, cpu: 1.5, cpu_time: 10m, open_files: 64, disk: 1GiB, silence: 30s, log: {limit: 2M, on_exceed: stop}}
""")  # noqa: E501
    up, m, n, p, down, last = workflow.tasks
    assert (workflow.name, workflow.tags, workflow.durability) == ("flow", ("x", "y"), "relaxed")
    assert workflow.schedules[0].interval_ns == 60 * MINUTE
    assert workflow.schedules[0].anchor_ns % (60 * MINUTE) == 30 * MINUTE
    assert workflow.schedules[1].cron == "@daily"
    assert (workflow.schedules[2].gap, workflow.schedules[2].fold) == ("skip", "both")
    assert [(q.name, q.type) for q in workflow.params] == [
        ("a", "date"), ("b", "integer"), ("c", "boolean"), ("d", "list"), ("e", "string"), ("f", "map"),
        ("g", "number"),
    ]  # fmt: skip
    assert workflow.params[5].default is msgspec.UNSET
    assert workflow.params[4].choices == ("u", "v")
    assert (up.setup, up.owner, up.tags, down.teardown_for) == (True, "me", ("t",), ("up",))
    assert (m.for_each, m.tolerate_percent, n.tolerate) == ([1, {"a": 2}], 5.0, 2)
    assert n.needs == (Need("m", same_index=True), Need("up"))
    assert n.action == Shell("a | b", bash=True)
    policy = workflow.policies[n.policy]
    assert policy.env == (("A", "1"), ("B", "{{ item }}"), ("C", "010"))
    assert (policy.dir, policy.trigger_rule, policy.priority, policy.on_lost) == ("sub", "all_done", -7, "hold")
    assert (policy.claim, policy.retry.limit, policy.pass_env) == (Claim(500, 0, (("p", 1), ("q", 1))), 3, ("X",))
    assert policy.stop.signal == 2
    assert p.action == Python("s.py", {}, "/usr/bin/python3", isolate=True)
    assert workflow.policies[p.policy].retry == Retry(on=("timed_out",), exit_codes=(75,), exceptions=("E",))
    assert workflow.policies[down.policy].quota.log_bytes == 2**20
    assert workflow.policies[last.policy].quota == Quota(
        log_bytes=2**21, cpu_ns=10 * MINUTE, cpu_milli=1500, threads=9, open_files=64, disk_bytes=2**30,
        silence_ns=30 * SECOND, on_log="stop",
    )  # fmt: skip
    assert check(decode(encode(workflow))) == []


def test_equal_policies_are_one() -> None:
    workflow = parse(
        "tasks: {a: {run: x, retry: 1}, b: {run: x, retry: {limit: 1}}, c: {run: x}, d: {run: x, retry: 0}}"
    )
    assert [task.policy for task in workflow.tasks] == [1, 1, 0, 0]
    assert len(workflow.policies) == 2


def test_comments_and_order_of_keys_make_no_new_version() -> None:
    one = parse("tasks: {a: {run: x, claim: {pools: {p: 1, q: 2}}, env: {A: x, B: y}}}")
    other = parse("# why\ntasks:\n  a:\n    env: {B: y, A: x}\n    claim: {pools: {q: 2, p: 1}}\n    run: x\n")
    assert version_of(one) == version_of(other)
    assert version_of(one) != version_of(parse("tasks: {a: {run: y}}"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nmae: x\ntasks: {a: {run: x}}", "dir/flow.yaml:1: nmae: the key nmae is not known here (did you mean name?)"),
        (
            "retry: 3\ntasks: {a: {run: x}}",
            "dir/flow.yaml:1: retry: the key retry is not known here (it belongs to a task)",
        ),
        ("name: a/b\ntasks: {a: {run: x}}", "dir/flow.yaml:1: name: 'a/b' is not a name"),
        ("tasks: {../a: {run: x}}", "dir/flow.yaml:1: tasks.../a: '../a' is not a name"),
        ('tasks:\n  "a\\0": {run: x}', "dir/flow.yaml:2: tasks.a\\x00: 'a\\\\x00' is not a name"),
        ('tasks:\n  "a\\e]0;x\\a": {run: x}', "dir/flow.yaml:2: tasks.a\\x1b]0;x\\x07: "),
        ("x", "a workflow is a map"),
        ("name: x", "`tasks:` is missing"),
        ("tasks: {}", "between 1 and"),
        ("tasks: []", "a map from names to tasks"),
        ("tasks: {a: x}", "a task is a map"),
        ("schedule: 61 * * * *\ntasks: {a: {run: x}}", "schedule.cron: cron '61 * * * *': the minute '61'"),
        ("schedule: 0 0 30 2 *\ntasks: {a: {run: x}}", "names a day that never comes"),
        ("schedule: '* * * * * * 2030'\ntasks: {a: {run: x}}", "a year field is not supported"),
        ("schedule: R * * * *\ntasks: {a: {run: x}}", "draws a time by chance"),
        ("schedule: '@dialy'\ntasks: {a: {run: x}}", "it is none of @annually"),
        ("schedule: {cron: 0 0 * * *, timezone: Europe/Berlinn}\ntasks: {a: {run: x}}", "there is no time zone"),
        ("schedule: {cron: 0 0 * * *, timezone: ../../etc/passwd}\ntasks: {a: {run: x}}", "there is no time zone"),
        ("schedule: {cron: 0 0 * * *, every: 1h}\ntasks: {a: {run: x}}", "either `cron` or `every`"),
        ("schedule: {timezone: UTC}\ntasks: {a: {run: x}}", "either `cron` or `every`"),
        ("schedule: {every: 1ms}\ntasks: {a: {run: x}}", "too small"),
        ("pools: {p: 0}\ntasks: {a: {run: x}}", "pools.p: a whole number from 1"),
        ("params: {p: {type: dat}}\ntasks: {a: {run: x}}", "did you mean date?"),
        ("params: {p: {type: integer, default: x}}\ntasks: {a: {run: x}}", "the default does not fit"),
        ("params: {p: {default: '{{ params.q }}'}}\ntasks: {a: {run: x}}", "a default knows only `partition`"),
        ("params: {p: {type: integer, choices: [1, x]}}\ntasks: {a: {run: x}}", "params.p.choices[1]"),
        ("defaults: {run: x}\ntasks: {a: {run: x}}", "defaults.run: the key run is not known here"),
    ],
)
def test_a_fault_of_the_workflow_names_file_line_field_and_hint(text: str, expected: str) -> None:
    assert any(expected in fault for fault in faults_of(text)), faults_of(text)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("{rnu: x}", "flow.yaml:3: tasks.b.rnu: the key rnu is not known here (did you mean run?)"),
        ("{}", "one of `run`, `shell` and `python`"),
        ("{run: x, python: 'm:f'}", "not run and python"),
        ("{run: []}", "at least 1 is needed"),
        ("{run: ['', x]}", "the first word is the command"),
        ("{run: ''}", "it is empty"),
        ("{run: 5}", "a list of words, or a text for the shell is expected, not 5"),
        ("{run: [x, [y]]}", "tasks.b.run[1]: a word is expected, not a list"),
        ('{run: "x\\0"}', "NUL"),
        ("{run: x, args: {}}", "only with `python`"),
        ("{run: x, tolerate: 1}", "only with `for_each`"),
        ("{python: nonsense}", "module:function or script.py"),
        ("{python: 'os;x:y'}", "module:function or script.py"),
        ("{run: x, needs: [aa]}", "tasks.b.needs[0]: there is no task 'aa' (did you mean a?)"),
        ("{run: x, needs: b}", "b needs itself"),
        ("{run: x, needs: [a, a]}", "a is needed twice"),
        ("{run: x, needs: [{tsk: a}]}", "did you mean task?"),
        ("{run: x, trigger_rule: all_sucess}", "did you mean all_success?"),
        ("{run: x, retry: {limt: 3}}", "tasks.b.retry.limt: the key limt is not known here (did you mean limit?)"),
        ("{run: x, retry: -1}", "a whole number from 0"),
        ("{run: x, retry: {delay: 5 parsecs}}", "a duration such as 30s, 5m or 1h30m is expected, not '5 parsecs'"),
        ("{run: x, retry: {on: faild}}", "did you mean failed?"),
        ("{run: x, claim: {memory: 3XB}}", "a size such as 512MiB"),
        ("{run: x, claim: {cpu: -1}}", "a number of CPUs such as 2 or 0.5 is expected, not -1"),
        ("{run: x, claim: {pools: {p: 0}}}", "tasks.b.claim.pools.p"),
        ("{run: x, quota: {wall: 0}}", "too small"),
        ("{run: x, quota: {silence: 1ms}}", "too small"),
        ("{run: x, quota: {cpu: none}}", "a number of CPUs"),
        ("{run: x, quota: {cpu: 0}}", "too small"),
        ("{run: x, quota: {log: {limit: 1M, on_exceed: burn}}}", "on_exceed"),
        ("{run: x, quota: {file: 3}}", "the key file is not known here"),
        ("{run: x, retry: {grow: {wall: 2}}}", "grow"),
        ("{run: x, priority: 5000}", "from -1000 to 1000"),
        ("{run: x, stop: {signal: TREM}}", "did you mean TERM?"),
        ("{run: x, env: {A-B: x}}", "no name of an environment variable"),
        ("{run: x, env: {ORCHCTL_RUN: x}}", "set by the engine"),
        ("{run: x, env: {A: [x]}}", "a text is expected, not a list"),
        ("{run: x, owner: 5}", "a text is expected, not 5 (put it in quotes)"),
        ("{run: x, max_parallel: 2.5, for_each: [1]}", "a whole number"),
        ("{run: x, for_each: 5}", "a list, or one {{ }} that gives a list"),
        ("{run: x, for_each: 'x{{ range(3) }}'}", "a list, or one {{ }} that gives a list"),
        ("{run: x, for_each: '{{ 5 }}'}", "the expression gives no list"),
        ("{run: x, for_each: '{{ range(1000001) }}'}", "1000001 items are more than the 1000000"),
        ("{run: x, for_each: '{{ item }}'}", "before there are rows"),
        ("{run: x, matrix: {a: 5}}", "tasks.b.matrix.a: a list of values, or one {{ }} that gives one is expected"),
        ("{run: x, matrix: {a: [[1]]}}", "a value is a text, a number, true, false or null"),
        ("{run: x, matrix: {a: [1, 1]}}", "the value '1' is there twice"),
        ("{run: x, matrix: {a: '{{ [2, 2] }}'}}", "the value '2' is there twice"),
        ("{run: x, matrix: {a: '{{ item.a }}'}}", "before there are rows"),
        ("{run: x, matrix: {trial: [1]}}", "`item.trial` is the number of the trial"),
        ("{run: x, matrix: {a: '{{ range(90000) }}'}, trials: 20}", "make 1800000 rows, more than 1000000"),
        ("{run: x, trials: 0}", "a whole number from 1"),
        ("{run: x, trials: 3, for_each: [1]}", "tasks.b.trials: a task has rows by `for_each` or by `trials`"),
        ("{run: x, warmups: 1}", "`warmups` makes sense only with `matrix` or `trials`"),
        ("{run: x, trials: 2, order: randm}", "did you mean random?"),
        ("{run: x, metrics: {a: {regex: '(a'}}}", "tasks.b.metrics.a.regex: this is no regular expression"),
        ("{run: x, metrics: {a: {regex: a}}}", "one group is expected, not 0 (put ( ) around the number)"),
        ("{run: x, metrics: {a: {better: more}}}", "one of lower, higher is expected"),
        ("{run: x, metrics: {cpu: s}}", "cpu is measured of every attempt"),
        ("{run: x, metrics: {'a b': s}}", "'a b' is not a name"),
        ("{run: x, for_each: [1], tolerate: 101%}", 'a count, or a share such as "5%"'),
        ("{run: x, needs: [{task: a, same_index: true}]}", "same_index pairs the rows of two `for_each`"),
        ("{run: x, when: needs.a.stauts == 1, needs: a}", "did you mean status?"),
        ("{run: x, when: '1 +'}", "a value is expected"),
        ("{run: x, when: item == 1}", "only in a task with `for_each`"),
        ("{run: x, teardown: a}", "a is not a setup (add `setup: true` to a)"),
        ("{run: x, teardown: [c]}", "there is no task 'c'"),
        ("{run: x, setup: true, for_each: [1]}", "a setup has one row"),
        ("{run: [x, '{{ needs.a.result }}']}", "which b does not need (add a to its `needs`)"),
        ("{run: [x, '{{ needs.a.results }}'], needs: a}", "a has one result: write `result`"),
        ("{run: [x, '{{ needs }}'], needs: a}", "one task at a time"),
        ("{run: [x, '{{ item }}']}", "only in a task with `for_each`"),
        ("{run: [x, '{{ params.x }}']}", "there is no parameter 'x'"),
        ("{run: [x, '{{ run.user }}']}", "known: id, workflow, trigger"),
        ("{run: [x, '{{ env.HOME }}']}", "env is not known in an expression"),
        ("{run: [x, \"{{ ''.__class__ }}\"]}", "out of reach"),
        ("{run: 'echo \"{{ run.id }}\"'}", "inside double quotes"),
        ("{run: 'echo \"{{ run.id }}\"'}", "leave the quotes out"),
        ("{python: 'm:f', args: {a: [{b: '{{ x }}'}]}}", "tasks.b.args.a[0].b: x is not known"),
        ("{run: x, env: {A: '{{ x }}'}}", "tasks.b.env.A: x is not known"),
        ("{run: x, dir: '{{ item }}'}", "tasks.b.dir: `item` is known only"),
        ("{run: x, outputs: ['{{']}", "without its `}}`"),
        ('{run: x, description: "a\\e]52;c;x\\a"}', "control characters"),
    ],
)
def test_a_fault_of_a_task_names_its_field_and_what_to_do(fields: str, expected: str) -> None:
    faults = task_faults(fields)
    assert any(expected in fault for fault in faults), faults
    assert all("flow.yaml:3" in fault for fault in faults)


def test_all_faults_come_at_once_in_the_order_of_their_lines() -> None:
    faults = faults_of("""\
tasks:
  a: {rnu: x}
  b: {run: x, needs: [zz]}
  c:
    run: echo {{ item }}
    retry: {limit: many}
nam: x
""")
    assert [fault.split(": ")[0] for fault in faults] == [
        "dir/flow.yaml:2", "dir/flow.yaml:2", "dir/flow.yaml:3", "dir/flow.yaml:5", "dir/flow.yaml:6",
        "dir/flow.yaml:7",
    ]  # fmt: skip


def test_cycles_are_named_task_by_task_in_the_order_they_would_run() -> None:
    faults = faults_of(
        "tasks:\n  a: {run: x, needs: c}\n  b: {run: x, needs: a}\n  c: {run: x, needs: b}\n  d: {run: x, needs: c}\n"
    )
    assert len(faults) == 1
    named = faults[0].rpartition("each other: ")[2].split(" -> ")
    assert named[0] == named[-1]
    assert "abcabc".find("".join(named[:-1])) >= 0
    assert (
        len(
            faults_of(
                "tasks: {a: {run: x, needs: b}, b: {run: x, needs: a}, c: {run: x, needs: d}, d: {run: x, needs: c}}"
            )
        )
        == 2
    )


def test_a_setup_that_waits_for_its_own_teardown_is_a_cycle() -> None:
    faults = faults_of("tasks: {u: {run: x, setup: true, needs: d}, d: {run: x, teardown: u}}")
    assert "tasks wait for each other" in faults[0]


def test_pairs_of_rows_of_unequal_number_are_a_fault() -> None:
    text = "tasks: {{a: {{run: x, for_each: [1, 2]}}, b: {{run: x, for_each: '{{{{ range({}) }}}}', needs: [{}]}}}}"
    pair = "{task: a, same_index: true}"
    assert parse(text.format(2, pair)).tasks[1].needs[0].same_index
    assert "b has 3 and a 2" in faults_of(text.format(3, pair))[0]


def test_a_paired_row_may_read_the_result_of_its_partner() -> None:
    text = (
        "tasks: {{a: {{run: x, for_each: [1]}}, b: {{run: [x, '{{{{ needs.a.{} }}}}'], for_each: [1], needs: [{}]}}}}"
    )
    assert parse(text.format("result", "{task: a, same_index: true}"))
    assert parse(text.format("results", "a"))
    assert "write `results`" in faults_of(text.format("result", "a"))[0]


def test_a_fault_of_the_defaults_is_told_once_at_their_line() -> None:
    faults = faults_of("defaults:\n  retry: {limit: x}\ntasks: {a: {run: x}, b: {run: x}}")
    assert len(faults) == 1
    assert faults[0].startswith("dir/flow.yaml:2: defaults.retry.limit")


def test_a_missing_name_that_the_file_cannot_give_is_a_fault() -> None:
    with pytest.raises(DefinitionError, match="add `name:`"):
        parse_yaml("tasks: {a: {run: x}}", "/tmp/-.yaml", "/tmp")


def test_a_thousand_faults_are_listed_and_the_rest_counted() -> None:
    text = "tasks:\n" + "".join(f"  t{i}: {{run: x, needs: [nope{i}]}}\n" for i in range(1_500))
    began = time.monotonic()
    faults = faults_of(text)
    assert len(faults) == 1_001
    assert "and 500 further faults" in faults[-1]
    assert time.monotonic() - began < 10


def test_a_large_definition_is_read_in_a_time_linear_in_its_size() -> None:
    def seconds(count: int) -> float:
        text = "tasks:\n  t0: {run: x}\n" + "".join(
            f"  t{i}:\n    run: [x, '{i}']\n    needs: [t{i - 1}]\n    claim: {{cpu: 1}}\n" for i in range(1, count)
        )
        began = time.process_time()
        assert len(parse(text).tasks) == count
        return time.process_time() - began

    small, large = seconds(2_000), seconds(20_000)
    assert large < 10 * small * 3


def test_a_campaign_is_read_with_its_matrix_in_the_order_of_the_file() -> None:
    text = """
tasks:
  a:
    run: [x, "{{ item.tool }}", "{{ item.trial }}"]
    matrix: {tool: [b, a], level: "{{ range(3) }}"}
    trials: 5
    warmups: 1
    order: random
    seed: 7
    repeat_noisy: 2
    noise: {io: 1, foreign: 0.25, look: 1s, looks: 3}
    metrics: {size: B, rate: {unit: MB/s, better: higher, regex: '(\\d+)'}}
  b: {run: x, matrix: {n: [1]}, max_parallel: 0}
  c: {run: x, metrics: {size: B}, for_each: [1, 2]}
"""
    a, b, c = parse_yaml(text, "flow.yaml", "/").tasks
    assert a.campaign == Campaign(
        matrix=(("tool", ["b", "a"]), ("level", "{{ range(3) }}")), trials=5, warmups=1, order="random", seed=7,
        repeat_noisy=2, metrics=(Metric("size", "B"), Metric("rate", "MB/s", "higher", r"(\d+)")),
        noise=(("foreign", 0.25), ("io", 1.0), ("look_ns", 10**9), ("looks", 3)),
    )  # fmt: skip
    assert (a.mapped, a.max_parallel) == (True, 1)
    assert b.campaign is not None
    assert (b.campaign.trials, b.max_parallel) == (1, 0)
    assert (c.has_trials, c.mapped, c.max_parallel) == (False, True, 0)
