"""The demo of translation: what it prints, draws and leaves behind; here with hardly any training."""

import json
import struct
from functools import partial

import numpy as np
import pytest

from gated import cli, translate
from gated._check import InputError
from gated.tasks.translate import dates, demo
from gated.tasks.translate.search import Translation
from gated.tasks.translate.task import TASK

PAIRS = [("the day before " + 30 * "x", "A"), ("May 3", "B"), ("the day before May 3", "C"), ("June", "D")]


SHORT = partial(demo.run, counts=(60, 20, 20), steps=2, units=8, embedding=8, progress=False)


def outputs(*texts: str) -> list[Translation]:
    return [Translation(text, 0.0, [], [], np.zeros((0, 0), np.float32)) for text in texts]


def test_the_demo_leaves_a_run_and_a_picture(monkeypatch, tmp_path, capsys):
    """`gated demo translate --json` prints the score alone on standard output, and replaces its own folder."""
    monkeypatch.setattr(demo, "run", SHORT)
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        cli.main(["demo", "translate", "--json"])
        result = json.loads(capsys.readouterr().out)
        assert {"exact", "bleu", "baselines", "best"} <= set(result)
        assert result["sentences"] == 20
    head = (tmp_path / "demo" / demo.PICTURE).read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    assert min(struct.unpack(">II", head[16:])) > 200
    assert demo.PICTURE in TASK.artefacts
    assert isinstance(translate.load(tmp_path / "demo").predict("May 3, 1998"), str)


@pytest.mark.parametrize("columns", ["60", "200"])
def test_the_text_tells_the_exact_share_first(monkeypatch, tmp_path, columns):
    """The share of exact dates, beside both baselines, comes before every other figure, whatever the terminal."""
    monkeypatch.setenv("COLUMNS", columns)
    notes = []
    result, text = SHORT(tmp_path / "demo", notes.append)
    assert "20 are held out" in notes[0]
    lines = text.splitlines()
    at = lines.index("Exact")
    assert {line.split(" %  ")[1] for line in lines[at + 1 : at + 4]} == {
        "LSTM", "translation memory", "copy of the source",
    }  # fmt: skip
    assert at < next(k for k, line in enumerate(lines) if "BLEU" in line)
    assert f"{100 * result['exact']:.1f} %  LSTM" in text
    assert str(tmp_path / "demo" / demo.PICTURE) in lines[-1]


def test_what_is_scored_was_never_trained_on():
    """No sentence stands twice among the demo's pairs, so none of the unseen ones was seen."""
    pairs = dates.pairs(sum(demo.COUNTS), seed=0)
    assert len({text for text, _ in pairs}) == len(pairs)


def test_mistakes_are_shown_with_what_is_right():
    """Examples are the first ones as they came, and then the wrong ones, counted, each with the truth."""
    lines = demo.list_examples(PAIRS, outputs("A", "X", "C", "D"))
    assert lines == [
        f"A  {PAIRS[0][0]}", "X  May 3", "C  the day before May 3", "D  June", "", "1 of 4 wrong:",
        "X  May 3, which is B",
    ]  # fmt: skip
    assert demo.list_examples(PAIRS, outputs("A", "B", "C", "D"))[-1] == "0 of 4 wrong."


def test_of_many_mistakes_only_the_first_are_shown():
    """The count tells all of them, the list stops, and says that it does."""
    lines = demo.list_examples(3 * PAIRS, outputs(*12 * ["-"]))
    assert lines[demo.SHOWN + 1] == "12 of 12 wrong, the first:"
    assert len(lines) == 2 * demo.SHOWN + 2


def test_what_is_drawn_is_right_if_anything_is():
    """A short right translation of a day before comes first, then any right one, then the first of all."""
    assert demo.choose(PAIRS, outputs("A", "B", "C", "D"))[0] == "the day before May 3"
    assert demo.choose(PAIRS, outputs("-", "B", "-", "D"))[0] == "May 3"
    assert demo.choose(PAIRS, outputs("-", "-", "-", "-"))[0] == PAIRS[0][0]


def test_without_matplotlib_the_demo_says_so_before_it_trains(monkeypatch, tmp_path):
    """What is missing for the picture is asked for at once, not after a minute."""

    def lacking(module: str, extra: str) -> None:
        raise InputError(f"{module} is not installed.")

    monkeypatch.setattr(demo, "optional", lacking)
    monkeypatch.setattr(demo, "fit", lambda *_, **__: pytest.fail("it trained"))
    with pytest.raises(InputError, match="matplotlib"):
        demo.run(tmp_path / "demo", print)
