"""The report's charts, drawn as SVG. The style sheet gives colours by class."""
