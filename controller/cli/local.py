"""`serin up` and `serin down`: the whole path on this machine."""

import dataclasses
import math
import signal
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from controller.cli.options import DEFAULT_HOME_OPTION, HomeOption, Output, OutputOption, home_at, writing_home
from controller.cli.output import say, say_json
from controller.config.settings import PORTS, Home, Settings
from controller.errors import UsageError, in_words

ENDED_SCHEMA: Final = "serin.ended/v1"


def register(app: typer.Typer) -> None:
    for function in (up, down):
        app.command()(function)


def up(
    policy: Annotated[
        list[Path] | None, typer.Option("--policy", help="Policy file; repeat for several models.")
    ] = None,
    registry: Annotated[str | None, typer.Option(help="URL of an MLflow server; without it, one runs here.")] = None,
    gateway_port: Annotated[int | None, typer.Option(help="Where clients send their requests.")] = None,
    free_ports: Annotated[bool, typer.Option("--free-ports", help="Choose free ports for everything.")] = False,
    capture_text: Annotated[
        bool | None,
        typer.Option(
            "--capture-text/--no-capture-text", help="Whether to keep sampled texts, so that label requests show them."
        ),
    ] = None,
    capture_ratio: Annotated[
        str | None,
        typer.Option(help="Share of requests to sample, from 0 to 1; 'auto' is what each model's gates need."),
    ] = None,
    require_tokens: Annotated[
        bool | None,
        typer.Option(
            "--require-tokens/--no-require-tokens",
            help="Whether clients must show a bearer token; `python -m serving.access new` makes them.",
        ),
    ] = None,
    api_hosts: Annotated[
        list[str] | None,
        typer.Option(
            "--api-host", help="A name, HOST or HOST:PORT, that callers use for the controller, as behind a proxy."
        ),
    ] = None,
    gateway_hosts: Annotated[
        list[str] | None, typer.Option("--gateway-host", help="Likewise, a name that clients use for the gateway.")
    ] = None,
    process_labels: Annotated[
        list[str] | None,
        typer.Option(
            "--process-label", help="A label that identifies a process in metrics, besides model and version."
        ),
    ] = None,
    sticky_header: Annotated[
        str | None, typer.Option(help="Requests with the same value of this header stay on one version.")
    ] = None,
    webhook_secret_file: Annotated[
        Path | None, typer.Option(help="File with the secret that MLflow signs its webhooks with.")
    ] = None,
    argilla_secret_file: Annotated[
        Path | None,
        typer.Option(help="File with the secret that Argilla signs its webhooks with; read when it changes."),
    ] = None,
    region: Annotated[str | None, typer.Option(help="Region of this installation, shown on every alert.")] = None,
    alert_url: Annotated[
        str | None, typer.Option(help="Address that pages are posted to, as Alertmanager's webhook.")
    ] = None,
    ticket_url: Annotated[str | None, typer.Option(help="Address for tickets; without it, that for pages.")] = None,
    home: HomeOption = DEFAULT_HOME_OPTION,
) -> None:
    """Run everything on this machine until Ctrl-C: MLflow, Prometheus, Alertmanager, Envoy, the controller, and the
    model versions.

    Options that are not given keep their values in this home, from its settings.json. --api-host, --gateway-host and
    --process-label may be repeated, and replace earlier values; '' clears them.

    Example: serin up --policy policy.yaml
    """
    from controller.bootstrap.local import gateway_answers, make_private, refuse_if_up, run_everything
    from controller.bootstrap.policies import installed_policies
    from controller.bootstrap.stores import prepare_own_database

    place = writing_home(home)
    place.check_path()
    refuse_if_up(place)
    asked = {
        "registry_url": registry,
        "gateway_port": gateway_port,
        "capture_text": capture_text,
        "capture_ratio": _ratio(capture_ratio),
        "require_tokens": require_tokens,
        "sticky_header": sticky_header,
        "region": region,
        "alert_page_url": alert_url,
        "alert_ticket_url": ticket_url,
        "api_hosts": _names(api_hosts),
        "gateway_hosts": _names(gateway_hosts),
        "process_labels": _names(process_labels),
        "webhook_secret": _secret(webhook_secret_file),
        "argilla_secret_file": str(argilla_secret_file.resolve()) if argilla_secret_file is not None else None,
    }
    settings = _settings(place, asked, anywhere=free_ports)
    for path in policy or []:
        _take_in(place, path)
    place.save(settings)
    if opened := make_private(place):
        _tell(f"{opened} files and folders in {place.path} were open to others; now they are yours alone")
    if (old := prepare_own_database(place)) is not None:
        _tell(f"the database had schema {old}, of an older release, and was upgraded")
    policies = installed_policies(place, settings)
    models = ", ".join(policies()) or "none yet: give --policy FILE"
    for name, fault in policies.faults.items():
        _tell(f"policy {name} is not followed until it is fixed: {fault}")

    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())

    def is_up(missing: Sequence[str]) -> None:
        answers = "ready: the gateway answers" if gateway_answers(settings) else "the gateway does not answer yet"
        _tell(f"{answers} at {settings.gateway}")
        _tell(f"up. Models: {models}. Ctrl-C ends it.")
        if missing:
            _tell(f"without {', '.join(missing)} for now: retried until it works; nothing else waits for it")
        _tell(f"predict at {settings.gateway}/models/MODEL/predict; registry at {settings.registry}")
        _tell(f"labels at {settings.api}/v1/labels with a token: serin token create --role labels --name NAME")

    run_everything(place, settings, tell=_tell, stopping=stopping, up=is_up)
    _tell("down. Nothing is left running.")


def _ratio(given: str | None) -> float | str | None:
    """The number that was given; what is none is for whoever checks settings."""
    try:
        return float(given) if given is not None else None
    except ValueError:
        return given


def _secret(file: Path | None) -> str | None:
    if file is None:
        return None
    try:
        secret = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--webhook-secret-file {file}: cannot be read: {in_words(error)}") from error
    if not secret:
        raise UsageError(f"--webhook-secret-file {file}: is empty")
    return secret


def _names(given: list[str] | None) -> tuple[str, ...] | None:
    """Return the names; None: nothing was given."""
    return tuple(name for name in given if name) if given else None


def down(output: OutputOption = Output.TEXT, home: HomeOption = DEFAULT_HOME_OPTION) -> None:
    """Stop what an earlier `serin up` left running, however that ended.

    Example: serin down
    """
    from controller.bootstrap.local import end_everything

    ended = end_everything(home_at(home))
    if output is Output.JSON:
        say_json({"schema": ENDED_SCHEMA, "ended": list(ended)})
        return
    say(f"Ended: {', '.join(ended)}." if ended else "Nothing was running.")


def _settings(place: Home, asked: Mapping[str, Any], *, anywhere: bool) -> Settings:
    """Those of the home, or else the defaults, with what was asked for on top; ``anywhere``: at ports that are free.

    Raises:
        UsageError: a value is none that the setting may have.
    """
    from controller.bootstrap.local import free_ports

    found = place.load() if place.exists() else Settings()
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True)) if anywhere else {}
    given = {name: value for name, value in asked.items() if value is not None}
    try:
        return dataclasses.replace(found, **{**ports, **given})
    except ValueError as error:
        raise UsageError(str(error)) from error


def _take_in(place: Home, path: Path) -> None:
    """Keep a checked copy of the policy in the home; its suites are named by absolute path there."""
    import yaml

    from controller.bootstrap.policies import current_policies
    from controller.config.policy_file import check_suites, load_policy, policy_text
    from controller.files import replace_file
    from controller.naming import check_distinct

    policy = load_policy(path)
    check_distinct(policy.model, current_policies(place, math.inf)())
    check_suites(policy)
    document = yaml.safe_load(policy_text(path))
    if policy.suites:
        document["suites"] = list(policy.suites)
    if policy.shadow_replay.suites:
        document["shadow_replay"]["suites"] = list(policy.shadow_replay.suites)
    place.policies.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    replace_file(place.policies / f"{policy.model}.yaml", text)


def _tell(line: str) -> None:
    say(f"serin: {line}", err=True)
