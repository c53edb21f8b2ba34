"""The guard that keeps Serin's own MLflow server from connecting to anything on this machine or in its private
networks: see `sitecustomize`."""

from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent
"""The folder to put on PYTHONPATH: the guard then works in that Python process and in those that it starts."""
MAY_REACH_VARIABLE: Final = "SERIN_MLFLOW_MAY_REACH"
"""The environment variable with the one address that may be connected to all the same, such as ``127.0.0.1:8081``."""
