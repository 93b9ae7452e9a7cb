"""What the terminal shows while a command runs."""

from ptycho.base.progress import Progress
from ptycho.commands import terminal


def test_a_note_is_said_once_where_results_go(capsys):
    with terminal.Bars() as listen:
        for text in ("look at this", "look at this", "and at that"):
            listen(Progress("scan", 1, 1, text, note=True))
        assert capsys.readouterr().out.splitlines() == ["look at this", "and at that"]


def test_a_milestone_is_a_line_beside_results_and_a_step_is_none(capsys):
    with terminal.Bars() as listen:
        listen(Progress("train", 1, 9, "step"))
        listen(Progress("train", 2, 9, "epoch 1/9", milestone=True))
    out, err = capsys.readouterr()
    assert (out, err.splitlines()) == ("", ["ptycho: train: epoch 1/9"])
