"""How good is a reconstruction: in its frame, inside its coverage, with and without registration."""

from ptycho.evaluation.evaluate import Evaluation, evaluate
from ptycho.evaluation.frames import Comparison, compare_frames

__all__ = ["Comparison", "Evaluation", "compare_frames", "evaluate"]
