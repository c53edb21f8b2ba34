"""The chart: what it renders is of Kubernetes' schemas, may do what the code does and no more, and is read by it."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import helm_python
import jsonschema
import kubernetes_validate
import pytest
import typer.main
import yaml

from controller.adapters.kubernetes import rights
from controller.adapters.kubernetes.objects.labels import OWN
from controller.adapters.kubernetes.objects.site import LIVE_PORT, SHADOW_PORT, Autoscaling, ScaleBy, Site
from controller.adapters.kubernetes.sticky import StickyBy
from controller.api.callers import READY_ROUTE
from controller.bootstrap.kubernetes import AlertRules, GatewayMetrics, GatewayName, RuleForm, runtime_of
from controller.cli.app import app
from controller.config.policy_file import load_policy
from controller.config.settings import Home
from controller.core.abilities import Mirroring
from controller.monitoring.routing import Receivers, alertmanager_config
from serving.contract import HEALTH_ROUTE
from tests.deploy.rendered import CHART, MATRIX, NEEDED, ROOT, RULES, check, notes, of_kind, pods, rendered, values
from tests.deploy.table import readme

CASES = pytest.mark.parametrize("case", MATRIX)


# --- what Helm and Kubernetes say ------------------------------------------------------------------------------------
@CASES
def test_every_object_is_of_its_schema_and_the_chart_of_helms_rules(case: str, checked: Callable[..., None]) -> None:
    given = values(MATRIX[case])
    found = helm_python.lint(str(CHART), given, strict=True)
    assert found["errors"] == []
    assert [one for one in found["messages"] if one["severity"] > 1] == []
    objects = rendered(given)
    for one in objects:
        check(one)
    names = [(one["kind"], one["metadata"]["name"]) for one in objects]
    assert len(names) == len(set(names))
    checked("renderings of the chart")


def test_a_wrong_field_and_an_unknown_kind_are_found() -> None:
    """So that the test above can fail."""
    (service,) = of_kind(rendered(values()), "Service")
    with pytest.raises(kubernetes_validate.ValidationError):
        check({**service, "spec": {**service["spec"], "port": 1}})
    with pytest.raises(kubernetes_validate.SchemaNotFoundError):
        check({**service, "kind": "Servant"})
    (monitor,) = of_kind(rendered(values(MATRIX["operator"])), "PodMonitor")
    with pytest.raises(jsonschema.ValidationError):
        check({**monitor, "spec": {**monitor["spec"], "endpoints": []}})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"gatway": {}}, "gatway"),
        ({"gateway": {"nmae": "public"}}, "nmae"),
        ({"controller": {"replicas": "two"}}, "replicas"),
        ({"registry": {"url": "mlflow:5000"}}, "url"),
        ({"monitoring": {"kind": "prometheus"}}, "kind"),
        ({"image": {"digest": "sha256:0"}}, "digest"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_name(change: Mapping[str, Any], said: str) -> None:
    with pytest.raises(helm_python.HelmError, match=said):
        rendered(values(change))


@pytest.mark.parametrize(
    "missing",
    [
        "gateway.name",
        "gateway.url",
        "replica.captureSecret",
        "registry.url",
        "database.secret",
        "api.tlsSecret",
        "api.tokensSecret",
        "prometheus.url",
    ],
)
def test_what_is_needed_and_not_said_is_asked_for(missing: str) -> None:
    group, key = missing.split(".")
    with pytest.raises(helm_python.HelmError, match=missing):
        rendered(values({group: {key: ""}}))


@pytest.mark.parametrize(
    ("given", "missing"), [({"by": "envoy-gateway"}, "gateway.sticky.header"), ({"header": "x-u"}, "gateway.sticky.by")]
)
def test_18_how_users_keep_their_version_is_said_whole(given: Mapping[str, Any], missing: str) -> None:
    with pytest.raises(helm_python.HelmError, match=missing):
        rendered(values({"gateway": {"sticky": given}}))


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ({"kind": "operator"}, "monitoring.tokenSecret"),
        ({"gateway": {"podLabels": {"app": "gateway"}}}, "monitoring.gateway.port"),
        ({"receivers": {"ticketUrl": "https://t.example"}}, "monitoring.receivers.pageUrl"),
    ],
)
def test_what_monitoring_would_be_blind_without_is_asked_for(given: Mapping[str, Any], missing: str) -> None:
    with pytest.raises(helm_python.HelmError, match=missing):
        rendered(values({"monitoring": given}))


def test_every_value_has_a_schema_with_words_and_the_readme_has_them() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    assert list(_unsaid(schema, yaml.safe_load((CHART / "values.yaml").read_text()), "")) == []
    assert (CHART / "README.md").read_text() == readme(), "run: make docs"


def _unsaid(schema: Mapping[str, Any], defaults: Mapping[str, Any], path: str) -> Iterator[str]:
    """Yield each value that one of the two has alone, or without a word."""
    parts = schema.get("properties", {})
    yield from (f"{path}{key}" for key in parts.keys() ^ defaults.keys())
    for key, part in parts.items():
        if not part.get("description"):
            yield f"{path}{key}"
        if part.get("additionalProperties") is False and key != "resources" and defaults.get(key) is not None:
            yield from _unsaid(part, defaults.get(key, {}), f"{path}{key}.")


# --- several installations, and what they may ------------------------------------------------------------------------
@CASES
def test_everything_is_in_the_namespace_and_called_after_the_installation(case: str) -> None:
    for one in rendered(values(MATRIX[case]), name="shop", namespace="shop-models"):
        assert one["metadata"]["namespace"] == "shop-models"
        assert one["metadata"]["name"].startswith("shop-serin")
        assert not one["kind"].startswith("Cluster")
        assert one["kind"] != "Secret"


def test_names_fit_however_long_the_installation_is_called() -> None:
    for one in rendered(values(*MATRIX.values()), name="m" * 53):
        assert len(one["metadata"]["name"]) <= 63, one["metadata"]["name"]


def test_23_the_role_is_what_the_code_says_it_does() -> None:
    (role,) = of_kind(rendered(values()), "Role", "controller")
    assert role["rules"] == rights.rules()
    assert (CHART / "files/rights.yaml").read_text() == rights.as_yaml()
    assert (CHART / "files/rights-operator.yaml").read_text() == rights.as_yaml(rights.OPERATOR_RIGHTS)
    assert (CHART / "files/rights-sticky.yaml").read_text() == rights.as_yaml(rights.STICKY_RIGHTS)
    cases = {"operator without rules": rights.OPERATOR_RIGHTS, "operator": (), "sticky": rights.STICKY_RIGHTS}
    for case, more in cases.items():
        (theirs,) = of_kind(rendered(values(MATRIX[case])), "Role", "controller")
        assert theirs["rules"] == rights.rules([*rights.RIGHTS, *more])
    given = {
        (group, resource) for rule in role["rules"] for group in rule["apiGroups"] for resource in rule["resources"]
    }
    assert len(given) == len(rights.RIGHTS)
    assert not [one for one in given if one[1].startswith("secrets") or "*" in one]
    assert not [rule for rule in role["rules"] if "*" in rule["verbs"]]


def test_on_call_may_get_and_patch_one_route() -> None:
    objects = rendered(values(MATRIX["on call"]))
    (role,), (binding,) = of_kind(objects, "Role", "on-call"), of_kind(objects, "RoleBinding", "on-call")
    (rule,) = role["rules"]
    assert (rule["resources"], rule["resourceNames"], rule["verbs"]) == (
        ["httproutes"],
        ["intent-route"],
        ["get", "patch"],
    )
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    assert binding["subjects"] == MATRIX["on call"]["onCall"]["subjects"]


# --- pods ------------------------------------------------------------------------------------------------------------
@CASES
def test_pods_are_restricted(case: str) -> None:
    """What the Pod Security Standard `restricted` asks for, a file system that cannot be written, and bounds."""
    for _, template in pods(rendered(values(MATRIX[case]))):
        pod = template["spec"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["securityContext"]["runAsUser"] > 0
        assert "hostNetwork" not in pod
        for container in (*pod.get("initContainers", ()), *pod["containers"]):
            held = container["securityContext"]
            assert held["capabilities"] == {"drop": ["ALL"]}
            assert held["allowPrivilegeEscalation"] is False
            assert (held["readOnlyRootFilesystem"], held["runAsNonRoot"]) == (True, True)
            assert container["resources"]["limits"]["memory"]
        assert not [volume for volume in pod["volumes"] if "hostPath" in volume]


def test_only_the_controller_has_a_token_of_the_cluster() -> None:
    for name, template in pods(rendered(values(MATRIX["trial"]))):
        assert template["spec"].get("automountServiceAccountToken", True) is (name == "models-serin")


def test_the_image_is_run_as_the_user_that_replicas_have() -> None:
    (controller,) = of_kind(rendered(values()), "Deployment")
    pod = controller["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsUser"] == Site("an image").user_id
    assert pod["containers"][0]["command"][:3] == ["python", "-m", "controller"]


def test_probes_ask_what_the_interface_answers() -> None:
    (controller,) = of_kind(rendered(values()), "Deployment")
    (container,) = controller["spec"]["template"]["spec"]["containers"]
    asked = {probe: container[probe]["httpGet"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert [one["path"] for one in asked.values()] == [HEALTH_ROUTE, HEALTH_ROUTE, READY_ROUTE]
    assert {one["scheme"] for one in asked.values()} == {"HTTPS"}


def test_the_hook_calls_a_command_that_there_is() -> None:
    (hook,) = of_kind(rendered(values()), "Job")
    program, *words = hook["spec"]["template"]["spec"]["containers"][0]["command"]
    command = typer.main.get_command(app)
    for word in words[:2]:
        command = command.commands[word]  # type: ignore[attr-defined]
    assert program == "serin"
    assert words[2] in {option for parameter in command.params for option in parameter.opts}


def test_pods_start_anew_when_their_settings_change() -> None:
    def mark(*changes: Mapping[str, Any]) -> str:
        (controller,) = of_kind(rendered(values(*changes)), "Deployment")
        return str(controller["spec"]["template"]["metadata"]["annotations"]["serin.dev/settings"])

    assert mark() == mark()
    assert mark() != mark({"settings": {"tick_s": 2.0}})


def test_a_database_of_the_charts_own_is_upgraded_by_the_pods_and_any_other_by_a_hook() -> None:
    """A hook before the installation would wait for a database that comes after it."""
    own, others = rendered(values(MATRIX["trial"])), rendered(values())
    assert of_kind(own, "Job") == []
    (hook,) = of_kind(others, "Job")
    assert hook["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    (controller,) = of_kind(own, "Deployment", "controller")
    (step,) = controller["spec"]["template"]["spec"]["initContainers"]
    assert step["command"] == hook["spec"]["template"]["spec"]["containers"][0]["command"]


# --- what the code reads ---------------------------------------------------------------------------------------------
def home_of(case: str, folder: Path) -> Home:
    """The controller's home as its pod has it."""
    settings, policies = of_kind(rendered(values(MATRIX[case])), "ConfigMap", "controller")
    (folder / "settings.json").write_text(settings["data"]["settings.json"])
    (folder / "policies").mkdir()
    for name, text in (policies["data"] or {}).items():
        (folder / "policies" / name).write_text(text)
    return Home(folder)


@CASES
def test_the_settings_are_read_and_every_file_that_they_name_is_mounted(case: str, tmp_path: Path) -> None:
    settings = home_of(case, tmp_path).load()
    (controller,) = of_kind(rendered(values(MATRIX[case])), "Deployment", "controller")
    pod = controller["spec"]["template"]["spec"]
    mounted = {mount["mountPath"]: mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
    secrets = {volume["name"] for volume in pod["volumes"] if "secret" in volume}
    files = [getattr(settings, name) for name in settings.__slots__ if name.endswith("_file")]
    assert any(files)
    runtime = runtime_of(settings)
    assert runtime is not None
    for file in filter(None, [*files, runtime.capture_token_file]):
        assert mounted[str(Path(file).parent)] in secrets
    assert settings.require_tokens is True
    assert (runtime.namespace, runtime.gateway.name) == ("serving", "public")
    assert settings.api_listen == "0.0.0.0:8443"
    assert "models-serin.serving.svc" in settings.api_hosts


def test_what_the_chart_says_of_the_cluster_reaches_the_code(tmp_path: Path) -> None:
    (tmp_path / "gateway").mkdir()
    (tmp_path / "secrets").mkdir()
    gateway = runtime_of(home_of("gateway", tmp_path / "gateway").load())
    secrets = runtime_of(home_of("secrets", tmp_path / "secrets").load())
    assert gateway is not None
    assert secrets is not None
    assert gateway.gateway.features == {"HTTPRoutePathRewrite"}
    assert gateway.gateway.mirroring is Mirroring.REPLICA
    assert gateway.gateway_metrics == GatewayMetrics(GatewayName.ISTIO, "infra/shop")
    assert secrets.gateway_metrics is None
    assert gateway.pods.autoscaling == Autoscaling(replicas_max=6, by=ScaleBy.REQUESTS, target=2.5)
    assert (secrets.pods.registry_secret, secrets.pods.registry_ca) == ("mlflow-reader", True)
    assert (secrets.pods.cache.claim, secrets.pods.cpu, secrets.pods.capture_ca) == ("packages", 1.5, True)
    (tmp_path / "sticky").mkdir()
    told = home_of("sticky", tmp_path / "sticky").load()
    sticky = runtime_of(told)
    assert sticky is not None
    assert (sticky.gateway.sticky_by, told.sticky_header) == (StickyBy.ENVOY_GATEWAY, "x-user")
    assert secrets.gateway.sticky_by is None
    (tmp_path / "operator").mkdir()
    operator = runtime_of(home_of("operator without rules", tmp_path / "operator").load())
    assert operator is not None
    assert operator.alert_rules == AlertRules("models-serin-policies", {"release": "kps"})
    assert secrets.alert_rules == AlertRules("models-serin-rules", {}, RuleForm.CONFIG_MAP)
    for case in ("unwatched", "told"):  # nobody reads them, or Git holds them
        (tmp_path / case).mkdir()
        found = runtime_of(home_of(case, tmp_path / case).load())
        assert found is not None
        assert found.alert_rules is None
    assert secrets.controller_url == "https://models-serin.serving.svc:8443"


def test_other_settings_win_over_those_of_the_chart(tmp_path: Path) -> None:
    assert home_of("pinned", tmp_path).load().tick_s == 1.0


def test_policies_are_read_and_find_their_suites(tmp_path: Path) -> None:
    home = home_of("policies", tmp_path)
    found = {load_policy(path).model: load_policy(path) for path in home.policy_files}
    assert found.keys() == {"intent", "Mood_2.0"}
    assert found["intent"].suites == (str(tmp_path / "cases/intent.jsonl"),)
    assert found["Mood_2.0"].deadline_s == 600


# --- who may talk to whom --------------------------------------------------------------------------------------------
@CASES
def test_every_pod_is_shut_before_anything_is_opened(case: str) -> None:
    objects = rendered(values(MATRIX[case]))
    policies = of_kind(objects, "NetworkPolicy")
    if case == "open network":
        assert policies == []
        return
    denied = [
        one["spec"]["podSelector"]["matchLabels"]
        for one in policies
        if one["spec"].keys() == {"podSelector", "policyTypes"}
    ]
    assert OWN in denied
    for _, template in pods(objects):
        assert any(one.items() <= template["metadata"]["labels"].items() for one in denied)
    for one in policies:
        assert one["spec"]["policyTypes"] == ["Ingress", "Egress"]
        for opened in one["spec"].get("ingress", ()):
            assert opened["from"], one["metadata"]["name"]
            assert opened["ports"], one["metadata"]["name"]


def test_replicas_are_reached_where_they_listen() -> None:
    (policy,) = (
        one for one in of_kind(rendered(values()), "NetworkPolicy") if one["metadata"]["name"].endswith("-replicas")
    )
    live, shadow = policy["spec"]["ingress"]
    assert [port["port"] for port in live["ports"]] == [LIVE_PORT]
    assert [port["port"] for port in shadow["ports"]] == [SHADOW_PORT]
    gateway = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": NEEDED["gateway"]["namespace"]}}}
    assert gateway in live["from"]
    assert gateway in shadow["from"]


# --- who is told of alerts -------------------------------------------------------------------------------------------
def test_alertmanager_is_configured_as_everywhere_else() -> None:
    hook = MATRIX["told"]["monitoring"]["receivers"]
    (found,) = (
        one["data"]["alertmanager.yml"]
        for one in of_kind(rendered(values(MATRIX["told"])), "ConfigMap", "monitoring")
        if "alertmanager.yml" in one["data"]
    )
    wanted = alertmanager_config(Receivers(hook["pageUrl"], hook["ticketUrl"]))
    assert yaml.safe_load(found) == json.loads(json.dumps(wanted))


def test_a_rule_file_of_git_reaches_a_plain_prometheus() -> None:
    rules = [
        one["data"]
        for one in of_kind(rendered(values(MATRIX["told"])), "ConfigMap")
        if "rules" in one["metadata"]["name"]
    ]
    assert [yaml.safe_load(one["serin.rules.yml"]) for one in rules] == [yaml.safe_load(RULES)]


# --- what people read ------------------------------------------------------------------------------------------------
def test_the_notes_say_what_to_do_next() -> None:
    assert "policies: {MODEL: {}}" in notes(values())
    assert "serin release start Mood_2.0" in notes(values(MATRIX["policies"]))
    assert "Prometheus does not know the replicas" in notes(values(MATRIX["unwatched"]))
    assert "models-serin-prometheus" in notes(values())
    assert "/etc/prometheus/serin/token" in notes(values())
    assert "models-serin-prometheus" not in notes(values(MATRIX["operator"]))
    assert "as the job serin-gateway" in notes(values(MATRIX["operator"]))
    assert "as the job" not in notes(values(MATRIX["told by an operator"]))
    assert "models-serin-alertmanager" in notes(values(MATRIX["told"]))
    assert "onCall.routes" in notes(values())
    assert "onCall.routes" not in notes(values(MATRIX["on call"]))


def test_notes_and_readme_name_what_there_is() -> None:
    for text in (notes(values()), (CHART / "README.md").read_text()):
        for word in text.split():
            if word.startswith("deploy/") and "<" not in word:
                assert (ROOT / word.strip("`.,:;")).exists(), word
