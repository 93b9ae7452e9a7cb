"""What a command makes of what it is asked for."""

import pytest
from command import call

from ptycho.runs import prepare
from ptycho.settings.request import Request


class TestEnds:
    """What a run that ends early would never come to is refused, and chooses no training."""

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (("--until", "split", "--refine"), "--until split: compare comes after it"),
            (("--until", "split", "--swap", "train={run}"), "no stage of this run takes the train"),
            (("--swap", "train={run}", "--swap", "scale={run}"), "no stage of this run takes the scale"),
        ],
    )
    def test_it_is_named(self, options, words, tmp_path, finished, tiny_options, capsys):
        options = [text.format(run=finished.folder) for text in options]
        assert call("run", "gs1_ideal", "--out", str(tmp_path / "r"), *tiny_options, *options) == 2
        assert words in capsys.readouterr().err
        assert list(tmp_path.iterdir()) == []

    def test_what_it_comes_to_is_not(self):
        for asked, given in [
            (Request("run", swaps=("split=r",), until="group_train"), []),
            (Request("run", swaps=("train=r", "split=r"), also=("compare",)), ["scan"]),
            (Request("run", until="gate", also=("compare",)), []),
        ]:
            assert prepare.check_ends(asked, given) is None
