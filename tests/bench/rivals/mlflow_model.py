"""Writes the pipeline in MLflow's transformers flavour, for ``mlflow models serve``: ``python -m … DIRECTORY``."""

import sys

import mlflow

from tests.bench.rivals._pipeline import classifier


def main() -> None:
    mlflow.transformers.save_model(
        classifier(), sys.argv[1], task="text-classification", model_config={"truncation": True}, pip_requirements=[]
    )


if __name__ == "__main__":
    main()
