"""The one place that knows concrete classes: a module for each thing put together, each loading only its own."""
