"""The registry: MLflow."""
