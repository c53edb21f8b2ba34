"""The grounds on which a release was decided, for people and for machines, from the journal alone."""

from controller.report.build import build_report
from controller.report.data import ReportData
from controller.report.page import render_html, render_json

__all__ = ["ReportData", "build_report", "render_html", "render_json"]
