"""Shows the whole release path on this machine: promotion, three kinds of rollback, and one by a person.

Exit status: 0 if every version came to the end that was expected, 1 otherwise, 130 on Ctrl-C.
"""

import argparse
import dataclasses
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from suites.intents.demo.installation import DemoError, Installation, installation
from suites.intents.demo.screen import Screen, result_table
from suites.intents.demo.slowing import slowed
from suites.intents.demo.story import ACTS, Act, Result

HERE: Final = Path(__file__).resolve().parent
HOME: Final = Path("build/demo")
RATE_PER_S: Final = 80.0
LABEL_DELAY_S: Final = 4.0
LOAD_FOR_S: Final = 420.0
RELEASE_WITHIN_S: Final = 180.0
POLL_S: Final = 0.25
FIRST: Final = "1"
PROMOTED: Final = {"probation", "promoted"}
SETTLED: Final = {*PROMOTED, "rolled_back", "rejected", "held", "aborted", "superseded"}


def main() -> int:
    flags = argparse.ArgumentParser(prog="make demo", description=__doc__)
    flags.add_argument("--json", type=Path, metavar="FILE", help="also write the outcomes for a machine")
    chosen = flags.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    console = Console()
    began_s = time.monotonic()
    try:
        with Screen(console) as screen:
            results, load = _show(screen)
    except KeyboardInterrupt:
        console.print("stopped; nothing is left running")
        return 130
    except DemoError as error:
        console.print(f"the demonstration could not go on: {error}", style="red", markup=False)
        return 1
    console.print(result_table(results))
    console.print(f"Users' requests: {load['sent']:,} sent, {load['failed']} failed {load['failures'] or ''}")
    console.print(f"Answered by version: {load['by_version']}")
    for result in results:
        if result.report:
            console.print(f"report of v{result.version}: {result.report}", markup=False, soft_wrap=True)
    good = all(result.as_expected for result in results)
    console.print(
        f"{'Every outcome as expected' if good else 'NOT as expected'}; {time.monotonic() - began_s:.0f} s in all."
    )
    if chosen.json:
        keys = ("version", "expected", "outcome", "blamed_gate", "seconds")
        rows = [{key: getattr(result, key) for key in keys} for result in results]
        chosen.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    return 0 if good else 1


def _show(screen: Screen) -> tuple[list[Result], Mapping[str, Any]]:
    with installation(HOME.resolve(), HERE / "policy.yaml", screen.tell) as serin:
        results = [_act(serin, screen, ACTS[0])]
        with _load(serin) as load:
            results += [_act(serin, screen, act) for act in ACTS[1:]]
            results.append(_on_call(serin, screen))
        return [_with_report(serin, result) for result in results], load


def _act(serin: Installation, screen: Screen, act: Act) -> Result:
    """Register the version as the candidate, and return what became of it."""
    began_s = time.monotonic()
    screen.tell(f"registering checkpoint {act.checkpoint}, {act.what}, as the candidate")
    checkpoint = HERE.parent / "checkpoints" / act.checkpoint
    if act.work_ms:
        checkpoint = slowed(checkpoint, serin.home / f"checkpoint-v{act.version}", act.work_ms)
    serin.serin("register", str(checkpoint), "--model", "intent", "--candidate")
    release = _follow(serin, screen, act.version)
    state = release["state"]
    outcome = "promoted" if release["phase"] in PROMOTED else str(release["phase"])
    blamed = next(iter(state["blamed"]), None)
    right_gate = any(gate.startswith(act.blamed) for gate in state["blamed"]) if act.blamed else blamed is None
    result = Result(
        version=act.version,
        expected=act.expected,
        outcome=outcome,
        blamed_gate=blamed,
        seconds=round(time.monotonic() - began_s, 1),
        reason=state["reason"],
        as_expected=outcome == act.expected and right_gate,
        report=release["release_id"],
    )
    screen.settled(result)
    return result


def _follow(serin: Installation, screen: Screen, version: str) -> Mapping[str, Any]:
    deadline_s = time.monotonic() + RELEASE_WITHIN_S
    while time.monotonic() < deadline_s:
        newest = next((r for r in serin.releases() if r["version"] == version), None)
        release = serin.release(newest["release_id"]) if newest else None
        if release is not None:
            screen.follow(release)
            if release["phase"] in SETTLED:
                return release
        time.sleep(POLL_S)
    raise DemoError(f"version {version} was not decided within {RELEASE_WITHIN_S:g} s")


def _on_call(serin: Installation, screen: Screen) -> Result:
    """Roll the promoted version back as a person on call does, without the controller. If no version was promoted, do
    nothing and say so in the result."""
    serving = serin.serving_version() or "?"
    if serving == FIRST:
        why = f"Version {FIRST} serves, and no version before it: there is nothing to go back to."
        result = Result("on call", "rolled_back", "not played", None, 0.0, why, as_expected=False)
        screen.settled(result)
        return result
    screen.tell('on call: serin rollback intent --reason "users complain"')
    began_s = time.monotonic()
    said = serin.serin("rollback", "intent", "--reason", "users complain")
    now_serving = serin.serving_version()
    seconds = round(time.monotonic() - began_s, 1)
    _follow(serin, screen, now_serving or "?")
    result = Result(
        version=serving,
        expected="rolled_back",
        outcome="rolled_back" if now_serving == FIRST else f"serving {now_serving}",
        blamed_gate=None,
        seconds=seconds,
        reason=f"By a person: users complain. {said}",
        as_expected=serving == "2" and now_serving == FIRST,
    )
    screen.settled(dataclasses.replace(result, version=f"{serving}, on call"))
    return result


@contextmanager
def _load(serin: Installation) -> Iterator[dict[str, Any]]:
    """Send steady traffic while the block lasts, and fill the mapping that is yielded with what became of it at the
    end."""
    arguments = ["--gateway", serin.gateway, "--api", serin.api, "--rate-per-s", f"{RATE_PER_S:g}"]
    arguments += ["--label-token-file", str(serin.label_token_file)]
    arguments += ["--label-delay-s", f"{LABEL_DELAY_S:g}", "--for-s", f"{LOAD_FOR_S:g}"]
    command = [sys.executable, "-m", "suites.intents.demo.load", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    summary: dict[str, Any] = {}
    try:
        yield summary
    finally:
        process.terminate()
        output, _ = process.communicate(timeout=30)
        summary.update(
            json.loads(output.splitlines()[-1])
            if output.strip()
            else {"sent": 0, "failed": 0, "failures": {}, "by_version": {}}
        )


def _with_report(serin: Installation, result: Result) -> Result:
    if result.report is None:
        return result
    written: Sequence[str] = serin.serin("report", result.report).splitlines()
    return dataclasses.replace(result, report=written[0])


if __name__ == "__main__":
    sys.exit(main())
