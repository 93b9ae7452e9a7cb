"""`ptycho convert`: a scan, or a result, as a file of another format."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from ptycho.base.errors import ConfigError
from ptycho.commands import shared
from ptycho.commands.options import Overwrite, ReadingOptions, WholeNumber
from ptycho.settings.request import Reading

if TYPE_CHECKING:
    from ptycho.scan.raw import RawData


def convert(
    source: Path,
    out: Path,
    *,
    crop: WholeNumber | None = None,
    bin_: Annotated[WholeNumber | None, Parameter(name="--bin")] = None,
    drop_frames: str = "",
    overwrite: Overwrite = False,
    reading: ReadingOptions = Reading(),
) -> int:
    """Write a scan, or a result, as another format: .npz, .cxi, .h5 (ptychodus), and results as .tif.

    Parameters
    ----------
    source
        A scan in any format that --data reads; a run directory, or its reconstruction.npz.
    out
        The file; its name says the format. Of a scan, .h5 gets its product.h5 beside it.
    crop
        Side of the middle of the patterns that is kept, px.
    bin_
        So many detector pixels in a row and a column become one.
    drop_frames
        Rows to leave out, like 3,7,40-49.
    """
    from ptycho.commands import terminal
    from ptycho.runs import claim, prepare, results
    from ptycho.scan.formats import writing

    writing.kind_of(out)
    if results.is_result(source):
        if crop or bin_ or drop_frames:
            raise ConfigError("--crop, --bin and --drop-frames change scans; leave them out for a result")
        product = results.product(source, reading, metres=writing.kind_of(out) != "tiff")
        claim.file(out, [source], overwrite)
        writing.result(out, product)
        return shared.wrote(out)
    files = writing.files_of_scan(out)
    for path in files:
        claim.file(path, prepare.files_of_scan(source, reading), overwrite)
    raw = _changed(prepare.read_scan(source, reading), crop, bin_, drop_frames)
    for line in writing.scan(out, raw):
        terminal.say(line, "yellow")
    for path in files:
        shared.wrote(path)
    return 0


def _changed(raw: RawData, crop: int | None, bin_: int | None, drop_frames: str) -> RawData:
    """Return a scan without some frames, and with other patterns; raise errors of ours where that leaves none."""
    import numpy as np

    from ptycho.scan import inspection, reshape
    from ptycho.settings import selection

    if drop_frames:
        rows = selection.frames(drop_frames)
        inspection.check_kept(raw, rows, ())
        left = np.setdiff1d(np.arange(len(raw)), np.array(rows or (), int))
        if rows is None or not len(left):
            raise ConfigError(f"--drop-frames {drop_frames}: leaves no frame")
        raw = raw.take(left)
    raw = raw if bin_ is None else reshape.binned(raw, bin_)
    return raw if crop is None else reshape.cropped(raw, crop)
