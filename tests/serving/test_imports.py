"""What serving may pull in."""

import subprocess
import sys

import pytest


def imported_by(statement: str) -> set[str]:
    script = f"import sys; {statement}; print('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_serving_needs_no_torch_and_no_mlflow() -> None:
    loaded = imported_by("import serving.replica.supervisor, serving.inference.engine, serving.packaging.build")
    assert not loaded & {"torch", "transformers", "onnx", "mlflow", "pandas", "scipy", "controller", "gates", "suites"}


def test_the_process_that_forks_loads_no_engine() -> None:
    """Workers load numpy and ONNX Runtime themselves, after their threads were decided; nobody else pays for them."""
    assert not imported_by("import serving.replica.supervisor") & {"numpy", "onnxruntime"}


@pytest.mark.parametrize(
    "module", ["serving.contract", "serving.package.artifact", "serving.package.rules", "serving.settings"]
)
def test_what_others_import_is_standard_library_only(module: str) -> None:
    """The controller reads packages and names without paying for a server."""
    third_party = imported_by(f"import {module}") - set(sys.stdlib_module_names) - imported_by("pass")
    assert third_party == {"serving"}


def test_a_batch_run_starts_without_what_it_does_not_need() -> None:
    """For a small model the start is a good part of a run."""
    loaded = imported_by("import serving.batch.__main__, serving.batch.run")
    assert not loaded & {"pydantic", "rich", "litserve", "pyarrow", "asyncio", "ray"}
