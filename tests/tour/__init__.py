"""Makes docs/tour.md and its pictures from a real installation: ``make tour``."""
