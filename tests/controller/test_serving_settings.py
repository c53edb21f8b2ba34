"""How a version is served: read from the policy, on its command line, kept by it, and changed by a release alone."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from controller.adapters.local.command import serving_command
from controller.config.policy_file import parse_policy
from controller.core.commands import Ask
from controller.core.release import Phase, Version, pending_settings
from controller.core.serving import (
    AdmissionPolicy,
    BatchPolicy,
    Provider,
    RequestLimits,
    ServingPolicy,
    TracingPolicy,
    differences,
    digest_of,
)
from controller.errors import UsageError
from controller.ports.runtime import DeploymentSpec
from serving.__main__ import parser, settings_from
from tests.controller.service import GOOD
from tests.controller.world import POLICY, World

HEADER = "apiVersion: serin/v1\nkind: ReleasePolicy\nmodel: intent\n"
OTHER = ServingPolicy(
    replicas=2,
    workers=2,
    api_processes=3,
    threads=4,
    batch=BatchPolicy(8, 2.5),
    admission=AdmissionPolicy(64, 100.0),
    tracing=TracingPolicy("http://localhost:4318", 0.5),
    limits=RequestLimits(1_000, 2_000, 3, 4, 5.0),
    recognisers=("serving.redaction.presidio:english",),
)
BATCHED = replace(POLICY, serving=ServingPolicy(batch=BatchPolicy(texts_max=4)))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def started_with(world: World, version: str) -> list[ServingPolicy]:
    return [spec.serving for spec in world.deployments.started if spec.version == version]


def document(section: Any) -> Mapping[str, Any]:
    """As JSON has it."""
    values = {field.name: getattr(section, field.name) for field in fields(section)}
    return {
        name: document(value) if is_dataclass(value) else list(value) if isinstance(value, tuple) else value
        for name, value in values.items()
    }


# --- read, and told ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("settings", [ServingPolicy(), OTHER])
def test_a_replica_is_told_every_setting_and_shows_it(settings: ServingPolicy, tmp_path: Path) -> None:
    """Defaults are those of the replica itself, under the same names: nothing is served otherwise than the policy says,
    and a key that one side has and the other lacks is seen here."""
    spec = DeploymentSpec("intent", Version("7"), serving=replace(settings, recognisers=()))
    command = serving_command(spec, tmp_path, tmp_path / "ports", ["--threads", "1"])
    shown = settings_from(parser().parse_args(command[3:])).shown
    asked = {name: value for name, value in document(spec.serving).items() if name != "replicas"}
    assert shown == {**asked, "threads": settings.threads or 1} | (
        {} if settings.tracing.url else {"tracing": {"url": None, "ratio": 0.01}}
    )
    told = serving_command(replace(spec, serving=settings), tmp_path, tmp_path / "ports")
    assert parser().parse_args(told[3:]).recogniser == list(settings.recognisers)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("serving: {workers: 0}", "line 4: serving: Value error, workers must be above 0, got 0"),
        ("serving: {batch: {texts_max: 0}}", "texts_max must be above 0"),
        ("serving: {admission: {wait_ms_max: 0}}", "wait_ms_max must be above 0"),
        ("serving: {tracing: {url: localhost:4318}}", "url must start with http"),
        ("serving: {tracing: {ratio: 2}}", "ratio must be from 0 to 1, got 2"),
        ("serving: {recognisers: [presidio]}", "'presidio' is not of the form module:factory"),
        ("serving: {provider: tpu}", "serving.provider"),
        ("serving: {bach: {}}", "unknown key 'bach'; did you mean 'batch'?"),
    ],
)
def test_what_no_replica_could_be_told_is_refused_by_name(text: str, problem: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_policy(HEADER + text)
    assert problem in str(refused.value)


def test_a_block_says_only_what_differs() -> None:
    policy = parse_policy(HEADER + "serving: {provider: cuda, batch: {texts_max: 64}}")
    assert policy.serving == ServingPolicy(provider=Provider.CUDA, batch=BatchPolicy(texts_max=64))
    assert differences(ServingPolicy(), policy.serving) == "provider cpu → cuda, batch.texts_max 16 → 64"


def test_the_digest_is_of_what_differs_from_the_defaults() -> None:
    """So that a key which is new with a release of the software starts nothing again."""
    assert digest_of(ServingPolicy()) == ""
    assert len({digest_of(OTHER), digest_of(replace(OTHER, workers=1)), ""}) == 3


# --- a version keeps its own ------------------------------------------------------------------------------------------
def test_a_changed_block_begins_with_the_next_release(world: World) -> None:
    """What serves goes on as it is, also where it is started again; the candidate has the new block."""
    world.given(stable=GOOD)
    world.policy = BATCHED
    world.deployments.restart()
    world.when_time_passes(30)
    assert started_with(world, "6") == [ServingPolicy()] * 2
    world.given_candidate("v7", GOOD)
    world.when_settled()
    assert world.release.phase is Phase.PROBATION
    assert started_with(world, "7") == [BATCHED.serving]
    assert started_with(world, "6") == [ServingPolicy()] * 2
    assert world.release.serving == {"6": ServingPolicy(), "7": BATCHED.serving}


def test_a_version_that_served_is_started_again_as_it_was_released(world: World) -> None:
    """By the journal: after a restart of everything, between releases, on the way back to it."""
    world.policy = BATCHED
    world.given(stable=GOOD, candidate=GOOD).when_settled()
    world.policy = POLICY
    world.when(lambda: world.release.phase is Phase.PROMOTED)
    world.deployments.restart()
    world.restart()
    world.when_time_passes(30)
    assert started_with(world, "7") == [BATCHED.serving] * 2
    world.given_candidate("v8", GOOD)
    world.when_settled()
    assert world.release.serving == {"6": ServingPolicy(), "7": BATCHED.serving, "8": ServingPolicy()}
    world.when_asked(Ask.ROLLBACK).when(lambda: world.release.phase is Phase.ROLLED_BACK)
    assert started_with(world, "7") == [BATCHED.serving] * 2


def test_what_waits_for_the_next_release_is_said(world: World) -> None:
    world.given(stable=GOOD, candidate=GOOD).when_phase(Phase.SHADOW)
    assert pending_settings(world.release, POLICY) == ""
    assert pending_settings(world.release, BATCHED) == "batch.texts_max 16 → 4"
    world.policy = BATCHED
    world.when_settled()
    assert pending_settings(world.release, BATCHED) == "batch.texts_max 16 → 4"
    world.given_candidate("v8", GOOD)
    world.when(lambda: world.release.candidate.number == "8")
    assert pending_settings(world.release, BATCHED) == ""


def test_the_same_files_under_the_next_number_go_through_the_gates(world: World) -> None:
    """As `serin release again` asks for it."""
    world.given(stable=GOOD)
    world.policy = BATCHED
    again = world.registry.register_again("intent", "6")
    assert (again.version, again.source_id) == ("7", world.registry.version("intent", "6").source_id)
    world.service.behaviours["7"] = GOOD
    world.serve_as("v7", "v6")
    world.when_asked(Ask.START, version="v7").when_settled()
    assert world.release.phase is Phase.PROBATION
    assert world.report.phases[:4] == (Phase.PREFLIGHT, Phase.SUITE, Phase.SHADOW, Phase.CANARY)
    assert world.release.candidate.source_id == again.source_id
    assert started_with(world, "7") == [BATCHED.serving]


# --- several replicas -------------------------------------------------------------------------------------------------
TWICE = replace(POLICY, serving=ServingPolicy(replicas=2))


def two_replicas(world: World, *, second: str = "v7") -> None:
    """Version 7 is served by two; what the second one runs is that of the version named."""
    world.policy = TWICE
    world.given_candidate("v7", GOOD)
    like = world.replicas.running[f"http://intent-{second}-shadow.test"]
    world.replicas.running["http://intent-v7-2-shadow.test"] = like


@pytest.mark.parametrize(("replicas", "phase"), [(2, Phase.CANARY), (1, Phase.ROLLED_BACK)])
def test_one_lost_replica_of_several_ends_no_release(world: World, replicas: int, phase: Phase) -> None:
    """It is waited for, and said; the only one that is lost takes the release back at once."""
    world.given(stable=GOOD)
    two_replicas(world)
    world.policy = replace(POLICY, serving=ServingPolicy(replicas=replicas))
    world.when_phase(Phase.CANARY)
    world.deployments.lose("intent", "7")
    world.when_time_passes(60)
    assert world.release.phase is phase
    if replicas == 2:
        assert world.release.faults["deployments"] == "version 7: replica 2: killed by the test"


def test_every_replica_is_asked_before_a_version_goes_in(world: World) -> None:
    """One that runs another package is found, whichever it is."""
    world.given(stable=GOOD)
    two_replicas(world, second="v6")
    world.when_settled()
    assert world.release.phase is Phase.REJECTED
    assert world.release.blamed == ("preflight.identity",)
