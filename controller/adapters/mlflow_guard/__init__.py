"""The guard that keeps the MLflow server that we run from asking anything of this machine or its networks: see
sitecustomize."""

from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent
"""Put on PYTHONPATH, it is in force in that Python and in those that it starts."""
MAY_REACH_VARIABLE: Final = "SERIN_MLFLOW_MAY_REACH"
"""The one address, as ``127.0.0.1:8081``, that may be asked all the same."""
