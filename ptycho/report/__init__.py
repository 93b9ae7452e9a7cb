"""Pictures and one self-contained page about a run. Nothing in here can fail a run."""

from ptycho.report.write import WrittenFigure, write_report

__all__ = ["WrittenFigure", "write_report"]
