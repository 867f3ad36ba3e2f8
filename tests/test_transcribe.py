"""Transcription as a whole: what is learnt, what is read, and what no order, stop or folder may change."""

import copy
import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from gated import runs, transcribe
from gated._check import InputError
from gated.tasks.transcribe import training, typeset
from gated.tasks.transcribe.data import read_items
from gated.tasks.transcribe.task import TASK
from made.sounds import QUICK, RATE, say


def wav(path, x, rate=RATE):
    soundfile.write(path, np.asarray(x, np.float32), rate)
    return str(path)


@pytest.fixture
def spoken(tones):
    return tones


@pytest.fixture
def run(transcriber):
    return transcriber


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """A folder of short lines of print."""
    lines = [(image, text) for image, text in typeset.lines(30, 5) if len(text) < 40][:8]
    return typeset.save(tmp_path_factory.mktemp("printed"), lines)


def fit_often(source, evaluate, valid=None, **options):
    """A fit with an evaluation, and so a row of its history, every so many updates."""
    progress = options.pop("progress")
    config, job = transcribe.Config(**options), runs.start(TASK, None, progress=progress)
    held = None if valid is None else read_items(valid)
    model, metrics, history, notes = training.fit(read_items(source), held, config, job, evaluate)
    return transcribe.Run(config, model, "lo", metrics, history, tuple(notes))


def paths(some):
    return [one["path"] for one in some]


def weights(run):
    return list(run.model.network.state_dict().values())


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(weights(a), weights(b), strict=True))


def states():
    """The global random generators; the checks of shapes under test draw from Python's themselves."""
    return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()  # noqa: NPY002


# ---- what it is good for


def test_a_language_of_tones_is_learnt(run, spoken):
    """Sounds it never heard are written without a fault, whoever asks for them and how."""
    right = [one["text"] for one in spoken[50:]]
    assert run.predict(paths(spoken[50:])) == right
    assert run.predict(spoken[50]["path"]) == run.predict(Path(spoken[50]["path"])) == right[0]
    assert run.predict([spoken[50]["path"]]) == right[:1]
    told = run.score(spoken[50:])
    assert (told["wer"], told["cer"], told["exact"]) == (0, 0, 1)
    assert told["baselines"]["constant"]["beaten"] > 0.9
    assert told["rtf"] == pytest.approx(told["seconds"] / told["duration"])
    assert run.metrics["held_out"] == {"cer": 0, "wer": 0, "examples": 10}
    assert "10 held out: 0" in run.summary()


@pytest.mark.parametrize("options", [
    dict(), dict(streaming=True), dict(decoder="attention"), dict(tokens="word"), dict(front="stack", reduce=3),
    dict(cell="gru", layers=2), dict(reduce=8), dict(reduce=1), dict(normalise="speaker"), dict(normalise="running"),
    dict(augment=1.0, mask=1.0, dropout=0.2, join=3, average=2, ema=0.5), dict(rate=4000, lower=True),
], ids=lambda options: "-".join(map(str, options.values())))  # fmt: skip
def test_every_variant_learns(spoken, options, tmp_path):
    """Each writer, front, cell and normalisation lowers the loss, and reads the same from its folder."""
    run = fit_often(spoken[:16], 4, spoken[16:18], **QUICK | {"steps": 8} | options)
    assert run.history[-1]["loss"] < run.history[0]["loss"]
    run.save(tmp_path / "run")
    again = transcribe.load(tmp_path / "run")
    assert same(run, again)
    assert (again.config, again.model.frames, again.model.alphabet) == (
        run.config,
        run.model.frames,
        run.model.alphabet,
    )
    found = run.transcribe(spoken[50:54])
    assert again.transcribe(spoken[50:54]) == found
    assert (again.constant, again.metrics, again.history) == (run.constant, run.metrics, run.history)
    assert again.summary() == run.summary()
    assert "16 examples" in run.summary()


@pytest.mark.parametrize(
    "options", [dict(), dict(streaming=True), dict(decoder="attention", join=2, augment=1.0)], ids=str
)
def test_print_is_learnt(printed, options):
    """Lines of print teach a network of columns, forward only too; its times are columns."""
    run = fit_often(printed, 3, **QUICK | {"steps": 6, "hold": 0.2} | options)
    assert run.history[-1]["loss"] < run.history[0]["loss"]
    assert "reads lines of 32 rows" in run.summary()
    found = read_items(printed)
    (best,) = run.transcribe(found.items[0].path, n_best=1)[0]
    assert best.text == " ".join(word.text for word in best.words)
    assert all(word.end <= run.read(found)[0][0].shape[1] + 3 for word in best.words)


# ---- readings


SEARCHES = [dict(), dict(width=8), dict(width=6, n_best=4), dict(hot=("hi up",), beta=1.0), dict(hot="lo")]


@pytest.mark.parametrize("search", SEARCHES, ids=str)
def test_a_reading_is_in_order(run, spoken, search):
    """Words start before they end, one after the other, within the sound; their confidence is from 0 to 1."""
    for one, best in zip(spoken[40:], run.transcribe(spoken[40:], **search), strict=True):
        last = soundfile.info(one["path"]).duration + run.model.frames.unit * run.model.network.shape.stride
        assert [found.score for found in best] == sorted((found.score for found in best), reverse=True)
        assert len({found.text for found in best}) == len(best) <= search.get("n_best", 1)
        for found in best:
            assert found.text == " ".join(word.text for word in found.words)
            assert found.text == run.model.alphabet.plain("".join(symbol.text for symbol in found.symbols))
            for pieces in (found.words, found.symbols):
                ends = [0.0, *(t for piece in pieces for t in (piece.start, piece.end)), last]
                assert ends == sorted(ends)
                assert all(piece.start < piece.end for piece in pieces)
                assert all(0 <= piece.confidence <= 1 for piece in [*pieces, found])
            assert found.confidence == pytest.approx(
                math.exp(np.mean([math.log(symbol.confidence) for symbol in found.symbols]))
            )


def test_a_file_is_read_the_same_among_others(run, spoken):
    """Alone, in any order and among long neighbours, its texts and times are the same."""
    for search in (dict(), dict(width=4, n_best=2)):
        together = run.transcribe(paths(spoken[:12]), **search)
        backwards = run.transcribe(paths(spoken[:12])[::-1], **search)[::-1]
        alone = [run.transcribe(one["path"], **search)[0] for one in spoken[:12]]
        for best, turned, single in zip(together, backwards, alone, strict=True):
            for a, b, c in zip(best, turned, single, strict=True):
                assert a.text == b.text == c.text
                assert a.score == pytest.approx(c.score, abs=1e-3)
                assert [w[:3] for w in a.words] == [w[:3] for w in b.words] == [w[:3] for w in c.words]


def test_a_beam_of_one_is_the_best_path(run, spoken):
    """Where the best path is far better than others, any width finds it; a wider one finds nothing less probable."""
    plain, wide = (run.transcribe(spoken[50:], width=width) for width in (1, 20))
    assert [best[0].text for best in plain] == [best[0].text for best in wide]
    assert all(b[0].log_prob >= a[0].log_prob - 1e-2 for a, b in zip(plain, wide, strict=True))


def test_words_are_neither_put_in_nor_forbidden_in_vain(run, tmp_path, spoken):
    """A hot word of which the sound has nothing is not put in; a language model that forbids a word keeps it out."""
    name = wav(tmp_path / "a.wav", say("lo hi", np.random.default_rng(0)))
    assert run.predict(name) == "lo hi"
    assert run.predict(name, hot=["up"], boost=200) == "lo hi"
    arpa = "\\data\\\nngram 1=4\n\n\\1-grams:\n-99\t<s>\n-0.3\t</s>\n-0.3\thi\n-0.3\tup\n\n\\end\\\n"
    (tmp_path / "lm.arpa").write_text(arpa)
    assert "lo" not in run.predict(name, lm=str(tmp_path / "lm.arpa"), alpha=30, width=50).split()


def test_silence_is_doubted_as_words_are(run, tmp_path):
    """A sound in which nothing is heard has no text and no word; its confidence is p(nothing | x)."""
    noise = 0.003 * np.random.default_rng(0).standard_normal(RATE // 2)
    deaf = copy.deepcopy(run)
    with torch.no_grad():
        deaf.model.network.output.bias[0] += 12  # the blank, so much that no tone the network knows is heard in noise
    for search in (dict(), dict(width=4)):
        (best,) = deaf.transcribe(wav(tmp_path / "noise.wav", noise), **search)[0]
        assert (best.text, best.words, best.symbols) == ("", [], [])
        assert best.confidence == pytest.approx(math.exp(best.log_prob))
        assert 0 < best.confidence < 1


def test_a_span_of_a_file_is_read_alone(run, tmp_path):
    """start and end cut a file: what is written is what the cut file says."""
    rng = np.random.default_rng(4)
    first, second = say("lo up", rng), say("hi", rng)
    name = wav(tmp_path / "both.wav", np.concatenate([first, second]))
    cut = len(first) / RATE
    rows = [dict(path=name, end=cut), dict(path=name, start=cut), dict(path=name)]
    assert run.predict(rows)[:2] == ["lo up", "hi"]
    wav(tmp_path / "one.wav", first)
    assert run.transcribe(rows[:1])[0][0].words == run.transcribe(str(tmp_path / "one.wav"))[0][0].words


def test_other_rates_and_channels_are_heard(run, spoken, tmp_path):
    """A file at another rate, or of two channels, is brought to the network's."""
    x, _ = soundfile.read(spoken[50]["path"])
    soundfile.write(tmp_path / "a.flac", np.stack([x, x], 1).repeat(2, 0), 2 * RATE)
    assert run.predict(str(tmp_path / "a.flac")) == spoken[50]["text"]


# ---- the same again


def test_the_best_weights_are_kept(spoken):
    """Of all evaluations on held-out files the best one's weights stay; patience ends a fit that only gets worse."""
    run = fit_often(spoken[:16], 3, spoken[50:], **QUICK | dict(steps=30, lr=0.02, patience=3, batch=2000))
    cers = {row["step"]: row["valid_cer"] for row in run.history if "valid_cer" in row}
    best = min(cers.values())
    assert run.metrics["best_step"] == min(step for step, cer in cers.items() if cer == best)
    assert 100 * run.metrics["held_out"]["cer"] == pytest.approx(best)
    assert run.score(spoken[50:])["cer"] == pytest.approx(
        run.metrics["held_out"]["cer"], abs=0.02
    )  # read in 16 bits there


def test_some_are_held_out_or_none(spoken):
    """A share of the examples is kept apart, the same for every seed; with hold=0 all are learnt from."""
    run = transcribe.fit(spoken[:20], **QUICK | dict(hold=0.2))
    assert (run.metrics["examples"], run.metrics["held_out"]["examples"]) == (16, 4)
    assert transcribe.fit(spoken[:20], **QUICK | dict(hold=0.2, seed=1)).model.frames == run.model.frames
    run = transcribe.fit(spoken[:20], **QUICK)
    assert (run.metrics["examples"], run.metrics.get("held_out")) == (20, None)
    assert transcribe.fit(spoken[:1], **QUICK).metrics["examples"] == 1


# ---- what cannot be read or learnt from


@pytest.fixture
def faulty(spoken, tmp_path):
    """A good recording, and what is wrong with the rest: (path, text)."""
    x, _ = soundfile.read(spoken[0]["path"], dtype="float32")
    good = (spoken[0]["path"], spoken[0]["text"])
    whole = Path(wav(tmp_path / "whole.wav", x)).read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.wav").touch()
    return good, {
        "cut.wav": (str(tmp_path / "cut.wav"), "lo"),
        "empty.wav": (str(tmp_path / "empty.wav"), "lo"),
        "silent.wav": (wav(tmp_path / "silent.wav", 0 * x), "lo"),
        "short.wav": (wav(tmp_path / "short.wav", x[:100]), "lo"),
        "few.wav": (wav(tmp_path / "few.wav", x[:1000]), "lo hi up lo hi up"),
        "mute.wav": (wav(tmp_path / "mute.wav", x), "  "),
        "long.wav": (wav(tmp_path / "long.wav", np.tile(x, 9)), "lo"),
    }


def test_bad_files_are_refused_by_name(faulty):
    """All are tried before one error counts them and names the first; nothing is learnt."""
    good, bad = faulty
    with pytest.raises(InputError) as error:
        transcribe.fit([good, *bad.values()], **QUICK, longest=2.0)
    said = str(error.value)
    assert "got 7 that cannot" in said
    assert "… and 4 more. Mend them, or take bad='skip'" in said
    for name, one in bad.items():
        with pytest.raises(InputError, match=f"got 1 that cannot: .*{name}"):
            transcribe.fit([good, one], **QUICK, longest=2.0)


def test_bad_files_are_left_out_if_asked(faulty):
    """Learning goes on without them, and they are counted, named and noted; with none left it does not."""
    good, bad = faulty
    run = transcribe.fit([good, *bad.values()], valid=[good, bad["cut.wav"]], **QUICK, longest=2.0, bad="skip")
    assert (run.metrics["examples"], run.metrics["left_out"]) == (1, 7)
    assert ["left out 7" in run.notes[0], "left out 1" in run.notes[1]] == [True, True]
    assert "cut.wav" in run.notes[1]
    assert "(7 left out)" in run.summary()
    with pytest.raises(InputError, match="Nothing is left to learn from"):
        transcribe.fit(list(bad.values()), **QUICK, longest=2.0, bad="skip")
    with pytest.raises(InputError, match=r"expected examples that can be read, got none.*cut\.wav"):
        transcribe.fit([good], valid=[bad["cut.wav"]], **QUICK, bad="skip")


def test_bad_files_are_not_read_in_silence(run, faulty, spoken):
    """Reading refuses them by name, or gives nothing for them; a score leaves them out and says so."""
    good, bad = faulty
    some = [good, bad["cut.wav"], bad["silent.wav"], good]
    with pytest.raises(InputError, match=r"cut\.wav.*And 1 more"):
        run.predict(some)
    said = run.predict(some, bad="skip")
    assert said == [good[1], None, None, good[1]]
    assert run.predict([bad["cut.wav"][0]], bad="skip") == [None]
    found, faults, _ = run.decode(read_items(some), bad="skip")
    assert [len(best) for best in found] == [1, 0, 0, 1]
    assert len(faults) == 2
    told = run.score(some, bad="skip")
    assert told["lines"] == 2
    assert "left out 2" in told["notes"][1]
    with pytest.raises(InputError, match="files to score on, got none that can be read"):
        run.score([bad["cut.wav"]], bad="skip")


def test_what_was_never_learnt_is_told(run, spoken):
    """Texts with characters that no training text has are read all the same, counted as wrong, and named by file."""
    strange = [(spoken[1]["path"], spoken[1]["text"]), (spoken[0]["path"], "zxy")]
    told = run.score(strange)
    assert told["notes"] == ["Not in the training data, so never output: x y z, in a text at the list, number 2."]
    assert told["cer"] > 0
    fitted = transcribe.fit(spoken[:4], valid=strange, **QUICK)
    assert told["notes"][0] in fitted.notes


def test_sound_is_no_print(run, printed, spoken):
    """A run reads what it has learnt; sound is not validated on print; each is one error."""
    with pytest.raises(InputError, match="expected sound, as in this run's training data, got print"):
        run.predict(printed)
    with pytest.raises(InputError, match="sound, as in the list, got print"):
        transcribe.fit(spoken[:4], valid=printed, **QUICK)
    reader = transcribe.fit(printed, **QUICK)
    with pytest.raises(InputError, match="expected print, as in this run's training data, got sound"):
        reader.predict(spoken[0]["path"])
    with pytest.raises(InputError, match="a run that reads sound, got one that reads print"):
        reader.listen(spoken[0]["path"])


def test_mistakes_are_told_where_they_are(run, spoken, tmp_path):
    """Each is one error that names what was expected and what came."""
    attentive = transcribe.fit(spoken[:4], **QUICK, decoder="attention")
    name = spoken[0]["path"]
    for said, call in {
        "Did you mean 'units'": lambda: transcribe.fit(spoken, unit=3),
        "Did you mean 'layers'": lambda: transcribe.fit(spoken, transcribe.Config(), layer=3),
        "options of Search": lambda: run.predict(name, widht=3),
        "width: expected a whole number from 1 to": lambda: run.predict(name, width=0),
        "hot: expected words or phrases": lambda: run.predict(name, hot=[""]),
        "bad: expected one of": lambda: run.predict(name, bad="maybe"),
        "lm: expected none, for a run that writes by attention": lambda: attentive.predict(name, lm="x.arpa"),
        "hot: expected none": lambda: attentive.predict(name, hot="lo"),
        "no such file": lambda: run.predict(str(tmp_path / "none.wav")),
        "the folder out": lambda: transcribe.fit(spoken, **QUICK, resume=True),
        "normalise: expected running": lambda: transcribe.Config(streaming=True, normalise="utterance"),
        "a line of the spectrum in every band": lambda: transcribe.fit(spoken, **QUICK | {"bands": 250}),
        "only files of a run": lambda: transcribe.fit(spoken, **QUICK, out=Path(name).parent),
        "layers: expected a whole number": lambda: transcribe.Config(layers=0),
        "reduce: expected 1, 2, 4 or 8": lambda: transcribe.Config(reduce=3),
    }.items():
        with pytest.raises(InputError, match=said):
            call()
