"""The report's pictures, drawn as SVG. Colours come from the style sheet, by class."""
