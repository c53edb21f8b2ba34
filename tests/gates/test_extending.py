"""The promise of `docs/extending.md`: a gate is one file and one entry, and everything else learns of it from there."""

import ast
import json
import re
import subprocess
import sys
from collections import Counter, defaultdict
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter

from controller.config.reference import gates_table, policy_sections
from controller.core.policy import ReleasePolicy, Step
from controller.offline.forecast.release import forecast
from controller.offline.forecast.traffic import ReleaseTraffic
from gates.evidence import Profile
from gates.gate_set import GateSet, state_from_json, state_to_json
from gates.kind import Asked, Levels, Regression, kinds_of, section, value_of
from gates.outcome import Outcome
from gates.policy import FloorPolicy, GatePolicy, SlicePolicy
from gates.table import configured, kinds, without_watching
from tests.gates.support import World, look
from tests.gates.toy_gate import TruncatedPolicy, TruncatedState

ROOT = Path(__file__).parents[2]
PACKAGES = ("gates", "controller", "serving", "suites")


@dataclass(frozen=True, slots=True)
class WithToy(GatePolicy):
    """The policy of gates with one entry more."""

    truncated: TruncatedPolicy | None = section(TruncatedPolicy, "tests.gates.toy_gate")


@dataclass(frozen=True, slots=True)
class ReleaseWithToy(ReleasePolicy):
    """How one model's releases proceed, by those gates."""

    gates: WithToy = WithToy()


def cutting(sequence, candidate):
    """A look at versions of which stable cuts ten of 1,000 texts, and the candidate so many."""
    seen = look(np.random.default_rng(sequence), sequence, World(shadow_looks=0, share=0.5))
    stable, other = Profile(truncated=10, requests=1000), Profile(truncated=candidate, requests=1000)
    return replace(seen, stable_profile=stable, candidate_profile=other)


def judged(gate_set, candidate, looks=20):
    state, verdicts = gate_set.start(), ()
    for sequence in range(1, looks + 1):
        state, verdicts = gate_set.look(state, cutting(sequence, candidate))
    return state, {verdict.gate: verdict for verdict in verdicts}


# --- one file and one entry -------------------------------------------------------------------------------------------
def test_the_gate_set_judges_by_it_beside_all_others():
    gate_set = GateSet(WithToy())
    assert gate_set.names == (*GateSet(GatePolicy()).names, "truncated.live")
    assert judged(gate_set, candidate=10)[1]["truncated.live"].outcome is Outcome.PASS
    worse = judged(gate_set, candidate=40)[1]
    failed = [gate for gate, verdict in worse.items() if verdict.outcome is Outcome.FAIL and not verdict.advisory]
    assert failed == ["truncated.live"]


def test_it_has_its_part_of_the_level_and_the_others_have_less():
    asked = {one.kind.name: one.asked for one in configured(WithToy())}
    levels = {name: one.levels.rollback_alpha for name, one in asked.items()}
    assert sum(levels.values()) == pytest.approx(WithToy().rollback_alpha)
    assert levels["truncated.live"] == pytest.approx(0.01 * 0.5 / (GatePolicy().alpha_shares + 0.5))
    assert GateSet(replace(WithToy(), truncated=None)).names == GateSet(GatePolicy()).names


def test_its_state_is_stored_and_read_back():
    state, _ = judged(GateSet(WithToy()), candidate=12, looks=3)
    document = json.loads(json.dumps(state_to_json(state)))
    assert state_from_json(document, WithToy) == state
    assert isinstance(dict(state.gates)["truncated.live"], TruncatedState)
    with pytest.raises(ValueError, match="unknown kind of state 'TruncatedState'"):
        state_from_json(document)


def test_the_planner_forecasts_it_and_the_remedies_widen_its_margin():
    policy = ReleaseWithToy(
        "m",
        gates=WithToy(truncated=TruncatedPolicy(guard_ratio=1.1, margin_ratio=1.2)),
        steps=(Step(20.0),),
        deadline_s=3600.0,
    )
    found = forecast(policy, ReleaseTraffic(requests_per_s=20.0, steps=(), label_ratio=0.5, directed_ratio=1.0))
    assert "truncated.live" in {gate.gate for gate in found.gates}
    (trouble,) = (one for one in found.troubles if one.gate == "truncated.live")
    assert any(remedy.change.startswith("gates.truncated.margin_ratio: ") for remedy in trouble.remedies)


def test_a_backtest_plays_it_and_leaves_out_what_only_watches():
    judging = without_watching(WithToy())
    assert judging.truncated is not None
    assert (judging.experiment, judging.drift, judging.limits) == (None, None, None)


def test_the_documents_and_the_schema_tell_of_it():
    assert "| `truncated.live` | texts of both versions | more texts are cut |" in gates_table(WithToy)
    sections = {one.path: one for one in policy_sections(ReleaseWithToy)}
    assert [key.name for key in sections["gates.truncated"].keys] == [one.name for one in fields(TruncatedPolicy)]
    assert all(key.description for key in sections["gates.truncated"].keys)
    schema = TypeAdapter(ReleaseWithToy).json_schema()
    assert schema["$defs"]["TruncatedPolicy"]["properties"]["margin_ratio"]["default"] == 3.0
    document = {"model": "m", "gates": {"truncated": {"margin_ratio": 2.0}}}
    assert TypeAdapter(ReleaseWithToy).validate_python(document).gates.truncated.margin_ratio == 2.0


DRAWN = Path("controller/monitoring")

# --- nothing else knows a gate ----------------------------------------------------------------------------------------
# What is read of a section besides judging by it, and in how many files: a new gate has none of that.
KNOWN = {
    "latency": 2,  # replicas put an edge of their histogram at each objective; some gateways tell no times
    "budget": 2,  # the hold on the releases of a service that burns; how fast it does, between releases too
    "BudgetPolicy": 1,  # the same
    "LiveErrorsPolicy": 1,  # budget.burn counts errors as errors.live does
    "PairedAccuracyPolicy": 1,  # suites bet as pairs do
    "drift": 2,  # how far back the reference goes, and how many answers of that time are sampled
    "accuracy_live": 1,  # without a mirror, something else must judge accuracy than
    "accuracy_shadow": 1,  # this
    "limits": 2,  # what a replica's hour costs, in a release and between releases
    "accuracy_slices": 2,  # those that nobody named are chosen when a release begins; off where one began before it was
    "costs": 1,  # suites are judged by what mistakes cost, too
    "CostPolicy": 1,  # the same
    "floors": 1,  # and by the floors of classes
    "SlicePolicy": 1,  # accuracy.slices leaves out those that have a gate of their own
    "slices": 3,  # their names are checked, their pairs counted, their shares of the traffic forecast
}


def names_of_gates():
    """What somebody who knows a gate would write: its field of the policy, its name, the class of its section."""
    found = {}
    for field, kind in kinds():
        found.setdefault(field, set()).update({kind.name, kind.section.__name__})
    return found


def home_of(kind):
    """The module of a gate, or its folder."""
    path = Path(*kind.section.__module__.split("."))
    return path.parent if path.parent != Path("gates/online") else path.with_suffix(".py")


def last_name(node):
    """``gates`` of ``policy.gates``; empty where it is no name."""
    return getattr(node, "attr", getattr(node, "id", ""))


def mentioned(tree):
    """Attributes of a policy, texts that may be the name of a gate or a section, and what is imported."""
    docs = {
        node.body[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node, clean=False)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and last_name(node.value).endswith(("gates", "policy")):
            yield node.attr
        elif isinstance(node, ast.Constant) and re.search(r"[._]", str(node.value)) and node not in docs:
            yield str(node.value)
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names)


def test_no_other_file_knows_a_gate_by_name():
    """So a new gate touches its own file and the table, whatever else there is: this counts them."""
    names = names_of_gates()
    homes = {field: home_of(kind) for field, kind in kinds()}
    found = defaultdict(set)
    for path in sorted(one for package in PACKAGES for one in (ROOT / package).rglob("*.py")):
        place = path.relative_to(ROOT)
        if place == Path("gates/policy.py") or DRAWN in place.parents:
            continue  # the entry; and panels and alerts, which are made for what people look at, not for each gate
        words = set(mentioned(ast.parse(path.read_text(encoding="utf-8"))))
        for field, own in names.items():
            if homes[field] not in (place, *place.parents):
                for word in words & (own | {field}):
                    found[word].add(str(place))
    assert {word: len(places) for word, places in found.items()} == KNOWN, dict(found)


def test_every_kind_stands_in_one_entry():
    entries = Counter(kind.name for _, kind in kinds())
    assert set(entries.values()) == {1}
    text = (ROOT / "gates/policy.py").read_text(encoding="utf-8")
    for field in (one.name for one in fields(GatePolicy) if kinds_of(one)):
        assert len(re.findall(rf"\b{field}:", text)) == 1


def test_who_only_reads_a_policy_does_not_wait_for_what_gates_compute_with():
    """Every command reads policies; a module that a gate's section stands in imports neither numpy nor scipy."""
    code = "import sys, controller.core.policy; print([name for name in ('numpy', 'scipy') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


_BESIDE_GATES = {"autoscaler.py", "drill_metrics.py"}  # who scales by it, and who looks for it in a drill


def test_a_gauge_of_replicas_is_known_by_four_files():
    """From the replica that sets it to the limit that is held against it: `QUEUE_DEPTH_METRIC` is one."""
    words = {"QUEUE_DEPTH_METRIC", "queue_depth", "queue_depth_max", "serin_queue_depth"}
    found = set()
    for path in (one for package in PACKAGES for one in (ROOT / package).rglob("*.py")):
        if ROOT / DRAWN in path.parents or path.name in _BESIDE_GATES:  # who draws it
            continue
        text = "".join(line.partition("#")[0] for line in path.read_text(encoding="utf-8").splitlines(keepends=True))
        if words & set(re.findall(r"\w+", text)):
            found.add(str(path.relative_to(ROOT)))
    assert found == {
        "serving/contract.py",
        "serving/observe/metrics.py",
        "gates/evidence.py",
        "gates/online/limits/measures.py",
    }


# --- what a kind tells of itself is so --------------------------------------------------------------------------------
def section_of(kind):
    named = {SlicePolicy: {"name": "lang:en"}, FloorPolicy: {"name": "recall:fraud", "at_least": 0.9}}
    return kind.section(**named.get(kind.section, {}))


@pytest.mark.parametrize("kind", [kind for _, kind in kinds()], ids=lambda kind: kind.name)
def test_the_keys_that_a_kind_names_are_keys_of_its_section(kind):
    part = section_of(kind)
    promised = (kind.promise.margin, kind.promise.ceiling) if kind.promise else ()
    for key in filter(None, (kind.alpha_share, *kind.margins, *promised)):
        assert value_of(part, key) > 0


@pytest.mark.parametrize("kind", [kind for _, kind in kinds()], ids=lambda kind: kind.name)
def test_its_gates_remember_what_it_says_and_take_a_level_only_if_it_says_so(kind):
    gates = list(kind.make(Asked(section_of(kind), Levels(0.002, 0.01, 0.1))))
    assert gates
    assert {type(gate.start()) for gate in gates} == set(kind.state)
    assert {getattr(gate, "alpha", None) == 0.002 for gate in gates} == {bool(kind.alpha_share)}
    assert bool(kind.alpha_share) == (kind.forecast is not None)


def test_every_regression_of_a_backtest_is_kept_out_by_one_gate():
    promised = Counter(kind.promise.regression for _, kind in kinds() if kind.promise)
    assert promised == dict.fromkeys(Regression, 1)
