"""The files of a run directory: the name of every one, what it holds, and which of them may be resumed."""

from __future__ import annotations

METADATA = "run_metadata.json"
HISTORY = "history.json"
CHECKPOINT = "checkpoint.npz"
PAGE = "report.html"
LOCK = ".lock"
SCAN, TRUTH = "scan.npz", "truth.npz"
INSPECTION, LEFT_OUT = "inspection.json", "left_out.npz"
GEOMETRY = "geometry.json"
SPLIT = "split.npz"
GROUPS_TRAIN, GROUPS_TEST = "groups_train.npz", "groups_test.npz"
SCALES = "scales.npz"
BUNDLE = "bundle.npz"
RECONSTRUCTION, JUDGED = "reconstruction.npz", "judged.npz"
TWIN = "twin.json"
METRICS, SOLUTION_METRICS = "metrics.json", "solution_metrics.json"
VERDICTS = "verdicts.json"
PHYSICS, REFINED, ORACLE, COMPARISON = "physics.npz", "refined.npz", "oracle.npz", "comparison.json"
HALVES = "halves.npz"
CHOICE, JUDGEMENT = "choice.json", "judgement.json"
SOLUTION = "solution.npz"

RESUMABLE = (METADATA, CHECKPOINT, HISTORY)
"""A folder that holds one of these holds a run, which may be gone on with."""
FILES = {
    METADATA: "what was asked, the config, provenance, and of every stage its key, digest, numbers and files",
    HISTORY: "losses and errors by epoch",
    CHECKPOINT: "training or solver after its last epoch or pass, to go on from",
    PAGE: "the page: pictures, verdicts, numbers, in one file",
    SCAN: "the simulated scan, in the cache alone",
    TRUTH: "the object of the scan",
    INSPECTION: "what was noticed of the scan's frames and pixels: which, how it shows, the remedy",
    LEFT_OUT: "the frames that are kept, and the pixels that are masked",
    GEOMETRY: "errors of the scan as given and of its corrections",
    SPLIT: "which patterns train and which test",
    GROUPS_TRAIN: "the groups that train",
    GROUPS_TEST: "the groups that are reconstructed",
    SCALES: "scale factors, and the probe as the network has it",
    BUNDLE: "the trained network",
    RECONSTRUCTION: "the object, its coverage, and `origin_xy`, the object-frame pixel of its [0, 0]; of the whole scan where "
    "`inference.whole` asks for it, as with --data, else the judged object",
    JUDGED: "the object of the patterns that were held out for judgement: the metrics and gates are of this one",
    TWIN: "single patches against the truth and its twin",
    METRICS: "metrics of the reconstruction",
    SOLUTION_METRICS: "metrics of the solved object",
    VERDICTS: "the gates",
    PHYSICS: "the object of gradient steps alone",
    REFINED: "the object of the network, sharpened by the solver",
    ORACLE: "the object that the solver makes of the same patterns",
    COMPARISON: "these four side by side",
    HALVES: "the objects of the even and of the odd patterns, and how each predicts the patterns of the other",
    CHOICE: "what the solver was tried with, and the data errors of left-out patterns",
    JUDGEMENT: "the gates of the solved object",
    SOLUTION: "of a run that solved its scan first: the object, the probe and the positions that it then worked with",
}
"""What each file holds. Beside them lie the pictures of the report."""
