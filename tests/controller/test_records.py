"""The records of deployments: each model's are read by themselves, whoever wrote or removed them."""

import json
import os
import time
from pathlib import Path

from controller.adapters.local.records import Record, Records


def a_record(model: str, version: str = "1") -> Record:
    return Record(
        model=model,
        version=version,
        pid=os.getpid(),
        start_ticks=1,
        boot_id="a",
        command=("true",),
        started_s=0.0,
        recent_starts_s=(0.0,),
        log_offset=0,
    )


def settled(directory: Path) -> None:
    """The folder was changed last a minute ago, so that what is known of it counts."""
    then_s = time.time() - 60
    os.utime(directory, (then_s, then_s))


def test_of_one_model_no_other_file_is_read(tmp_path: Path) -> None:
    """A damaged one is looked at when its own model is: of hundreds, each would be read for each."""
    records = Records(tmp_path)
    mine = records.save(a_record("intent"))
    other = tmp_path / "refunds-v1.json"
    other.write_text("{", encoding="utf-8")
    assert records.of_model("intent") == [mine]
    assert other.exists()
    assert records.of_model("refunds") == []
    assert not other.exists()


def test_models_whose_names_begin_alike_are_told_apart(tmp_path: Path) -> None:
    records = Records(tmp_path)
    found = {model: records.save(a_record(model)) for model in ("intent", "intent-v2", "intent-v2-v3")}
    assert {model: records.of_model(model) for model in found} == {model: [one] for model, one in found.items()}


def test_what_changes_in_the_folder_is_seen(tmp_path: Path) -> None:
    """Also by another hand, and where the folder had stood still for long."""
    records = Records(tmp_path)
    first = records.save(a_record("intent"))
    settled(tmp_path)
    assert records.of_model("intent") == [first]
    second = Records(tmp_path).save(a_record("intent", "2"))
    assert records.of_model("intent") == [first, second]
    settled(tmp_path)
    assert records.of_model("intent") == [first, second]
    (tmp_path / "intent-v1.json").unlink()
    assert records.of_model("intent") == [second]


def test_a_file_that_no_deployment_is_called_by_disturbs_nobody(tmp_path: Path) -> None:
    records = Records(tmp_path)
    mine = records.save(a_record("intent"))
    (tmp_path / "notes.json").write_text(json.dumps({}), encoding="utf-8")
    assert records.of_model("intent") == [mine]
