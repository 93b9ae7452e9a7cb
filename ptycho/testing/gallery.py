"""The page that shows what tests left: pictures side by side, by stage and finding, in one file."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

from ptycho.base import atomic, page
from ptycho.testing import evidence

PAGE, NO_FINDING = "report.html", "no finding"


def write(root: Path) -> Path:
    """Write the page of all tests' folders below `root`, and return it."""
    tests = [_read(path) for path in sorted(root.glob(f"*/{evidence.FILE}"))]
    by_stage: dict[str, list[dict[str, Any]]] = {}
    for test in sorted(tests, key=lambda t: (t["outcome"] != "failed", [f["id"] for f in t["findings"]])):
        stage = test["findings"][0]["stage"] if test["findings"] else NO_FINDING
        by_stage.setdefault(f"stage {stage}" if test["findings"] else stage, []).append(test)
    failed = sum(test["outcome"] == "failed" for test in tests)
    text = page.html(
        "testing/gallery.html",
        total=len(tests),
        failed=failed,
        stages=sorted(by_stage.items(), key=lambda part: (part[0] == NO_FINDING, part[0])),
    )
    atomic.write_text(root / PAGE, text)
    return root / PAGE


def _read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    shown = [
        (part["caption"], base64.b64encode((path.parent / part["file"]).read_bytes()).decode())
        for part in content["pictures"]
    ]
    return {**content, "shown": shown, "folder": path.parent.name}
