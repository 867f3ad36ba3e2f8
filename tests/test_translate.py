"""Translation as a whole: it fits, it translates, and no batch, order, stop or folder changes its output."""

import dataclasses
import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from gated import checkpoint, translate
from gated._check import InputError
from gated.features import tokens
from gated.tasks.translate import po
from gated.tasks.translate.placeholders import SENTINELS
from gated.tasks.translate.search import recase, split
from gated.tasks.translate.unknown import find_unknown, note_unknown

ENGLISH = dict(
    eins="one", zwei="two", drei="three", vier="four", fünf="five", sechs="six", sieben="seven", acht="eight"
)
KNOWN = 4 + 16 + 1 + len(ENGLISH)  # special tokens, sentinels, a space: names stay unknown
SMALL = dict(tokens="word", vocabulary=KNOWN, layers=1, dropout=0.0, smoothing=0.0, precision="32", progress=False)
QUICK = dict(SMALL, units=8, batch=400, monitor="loss", steps=4)


def say(source):
    """The translation of a sentence of numbers, names and placeholders."""
    return " ".join(ENGLISH.get(word, word) for word in source.split())


def draw(n, seed, length=(3, 5)):
    """n sentences of numbers and their translations; some have a placeholder or a name, never the same twice."""
    rng, found = random.Random(seed), {}
    while len(found) < n:
        words = rng.choices(list(ENGLISH), k=rng.randint(*length))
        if rng.random() < 0.6:
            words[rng.randrange(len(words))] = rng.choice(["%s", "".join(rng.choices("bdgklmnr", k=6))])
        found[" ".join(words)] = say(" ".join(words))
    return list(found.items())


TRAIN = draw(400, 1)
NEW = [pair for pair in draw(48, 2) if pair not in TRAIN]
SOURCES = [source for source, _ in NEW]


@pytest.fixture(scope="module")
def run():
    """A translator of numbers, which no test changes."""
    return translate.fit(
        TRAIN, valid=NEW[:20], **SMALL, units=32, batch=200, attention="additive", steps=140, lr=0.02, monitor="loss"
    )


@pytest.fixture(scope="module")
def poor():
    """One that has hardly begun, with input feeding and two layers: it hesitates everywhere, and does not end."""
    return translate.fit(TRAIN, valid=NEW[:4], **QUICK | {"layers": 2, "units": 12}, feeding=True, seed=1)


def weights(run):
    return list(run.model.network.state_dict().values())


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(weights(a), weights(b), strict=True))


def states():
    """The global random generators; the checks of shapes under test draw from Python's themselves."""
    return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()  # noqa: NPY002


def texts(found):
    return [[one.text for one in best] for best in found]


def scores(found):
    return [one.score for best in found for one in best]


# ---- what it is good for


def test_a_language_is_fitted(run):
    """Sentences it never saw are translated without a fault, with their placeholders, and unknown words come over."""
    assert run.predict(SOURCES, replace_unknown=True) == [target for _, target in NEW]
    plain = [(source, target) for source, target in NEW if all(w in ENGLISH or w == "%s" for w in source.split())]
    assert run.predict([source for source, _ in plain]) == [target for _, target in plain]
    assert run.predict(plain[0][0]) == plain[0][1]
    result = run.score(plain)
    assert (result["exact"], result["best"]) == (1, result["model"])
    assert result["bleu"] == pytest.approx(100)
    assert set(result["baselines"]) == {"copy", "memory"}
    assert run.memory == ([x for x, _ in TRAIN], [y for _, y in TRAIN])
    assert "400 pairs" in run.summary()


def test_an_unknown_word_is_the_source_word_of_most_attention(run):
    """Asked to, it puts the source's word as it is written; else no translation has an unknown word at all."""
    assert run.predict("eins Björn drei", replace_unknown=True) == "one Björn three"
    assert "Björn" not in run.predict("eins Björn drei")
    assert "<unk>" not in "".join(run.predict(SOURCES))


def test_attention_is_on_the_word_that_is_translated(run):
    """Each word's row is a probability, and its largest weight is on the word it translates."""
    ((found,),) = run.translate(["eins drei fünf sieben"])
    assert found.attention.shape == (4, 4)
    np.testing.assert_allclose(found.attention.sum(1), 1, rtol=1e-5)
    assert found.attention.argmax(1).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("source", "target"),
    [("EINS DREI", "ONE THREE"), ("EINS %s DREI", "ONE %s THREE"), ("eins drei", "one three"), ("", "")],
)
def test_capitals_are_translated_into_capitals(run, source, target):
    """A heading whose words the run knows in another case is no row of unknown words."""
    assert run.predict(source) == target


def test_the_case_is_that_of_the_vocabulary():
    """Each word in the form of the fewest and the most known tokens; what is not all in capitals stays."""
    vocabulary = tokens.fit(["ein Hund sieht NATO", "Der Mann", "ein Mann"], "word", 40)
    forms = {
        "EIN": "ein", "EIN HUND": "ein Hund", "SIEHT EIN": "sieht ein", "NATO": "NATO", "DER MANN": "Der Mann",
        "Ein HUND": "Ein HUND", "12 %": "12 %",
    }  # fmt: skip
    assert {line: recase(vocabulary, line) for line in forms} == forms


# ---- internal marks


def test_no_sentinel_is_written_that_the_source_lacks(run, poor):
    """However poor the network and whatever the search: a placeholder's sentinel is no candidate once it is spent."""
    lines = ["eins zwei drei", "vier %s", "%s fünf %s", ""]
    for search in (dict(width=9, n_best=9), dict(sample=True, n_best=9, temperature=100.0), dict(width=1)):
        for translations in (poor.translate(lines, **search), run.translate(lines, beside=[], **search)):
            for line, best in zip(lines, translations, strict=True):
                for one in best:
                    assert not set(SENTINELS) & set(one.text)
                    assert one.text.count("%s") <= line.count("%s")
                    left = [t for t in one.target if run.model.target.piece(t).strip() in SENTINELS]
                    assert len(left) == len(set(left)) <= line.count("%s")


def test_attention_shows_placeholders_as_they_are(run):
    """The words of `attend` are those of the sentence."""
    result, table = translate.attend(run, "eins %s drei")
    assert result["source"] == ["eins", "%s", "drei"]
    assert not set(SENTINELS) & set(table + json.dumps(result, ensure_ascii=False))


# ---- more pairs


def test_an_update_trains_on_new_pairs_alone(run, tmp_path):
    """The vocabulary stays, the old run too; what it cannot spell is noted; the new run is saved like any other."""
    swapped = [(source, target.replace("one", "two")) for source, target in TRAIN if "eins" in source][:60]
    before = [x.clone() for x in weights(run)]
    new = run.update([*swapped, ("eins 猫", "two 猫")], steps=60, lr=0.02, out=tmp_path / "new", progress=False)
    assert all(torch.equal(x, y) for x, y in zip(before, weights(run), strict=True))
    assert new.predict("drei eins vier") == "three two four"
    assert run.predict("drei eins vier") == "three one four"
    assert (new.model.source, new.model.target) == (run.model.source, run.model.target)
    assert ["猫" in note for note in new.notes] == [True, True]
    assert new.memory[0][:61] == [*(source for source, _ in swapped), "eins 猫"]
    assert "Updated on 58 pairs" in new.summary()
    assert same(new, translate.load(tmp_path / "new"))
    few = run.update(["eins"], ["one"], steps=1, progress=False)
    assert "1 of these pairs: BLEU" in few.summary()


def test_unknown_letters_are_noted(run):
    """Lines with letters that the run never saw are counted, those with no others apart; placeholders do not count."""
    unknown = find_unknown(run.model.source, ["eins Ω", "我喜欢 1!", "eins", "%s Жук", "", "–", "eins {жук}"])
    assert note_unknown(dict(enumerate(unknown, 1))) == [
        "2 lines hold only characters that the run has never seen (lines 2, 4): 我 喜 欢 1 Ж у к",
        "1 line holds characters that the run has never seen (line 1): Ω",
    ]
    result = run.score([("eins Ω", "one Ω")])
    assert "1 line holds characters that the run has never seen (line 1): Ω" in result["notes"]


VARIANTS = [
    dict(),
    dict(attention="dot"),
    dict(attention="additive", attend="last", layers=2),
    dict(cell="gru", layers=2),
    dict(cell="gru", feeding=True, layers=2, attend="last"),
    dict(coverage=3, coverage_loss=1.0, layers=2),
    dict(coverage=1, coverage_loss=1.0, feeding=True, attention="additive"),
    dict(coverage=5, attention="dot", cell="gru"),
    dict(sampling=0.5, smoothing=0.1, zoneout=0.1, recurrent_dropout=0.1, token_dropout=0.1, dropout=0.2, layers=2),
    dict(tokens="bpe", vocabulary=60, bpe_dropout=0.1, average=2, ema=0.5),
    dict(tokens="char", vocabulary=60, lower=True, sampling=0.3, feeding=True),
]


@pytest.mark.parametrize("options", VARIANTS, ids=lambda options: "-".join(map(str, options.values())))
def test_every_variant_trains(options):
    """Each attention, cell, noise and kind of token lowers the loss on held-out sentences."""
    run = translate.fit(TRAIN[:60], valid=NEW[:3], **QUICK | {"lr": 0.02, "batch": 800, "steps": 5} | options)
    losses = [row["valid_loss"] for row in run.history if "valid_loss" in row]
    assert losses[-1] < losses[0]
    assert len(run.predict(SOURCES[:2], width=2)) == 2


# ---- searching


@pytest.mark.parametrize("how", [
    dict(width=1), dict(width=3, n_best=3), dict(width=4, coverage_penalty=0.2, no_repeat=2), dict(sample=True),
], ids=str)  # fmt: skip
def test_a_translation_does_not_depend_on_the_others(poor, how):
    """Alone, in any order and among long neighbours, a line's translations and scores are the same."""
    lines = [*SOURCES[:3], " ".join(SOURCES[3:6]), "eins"]
    together = poor.translate(lines, **how)
    if how.get("sample"):  # a draw belongs to a line's number
        alone = [poor.translate([""] * n + [line], **how)[n] for n, line in enumerate(lines)]
    else:
        alone = [poor.translate([line], **how)[0] for line in lines]
        backwards = poor.translate(lines[::-1], **how)[::-1]
        assert texts(backwards) == texts(together)
    assert texts(alone) == texts(together)
    np.testing.assert_allclose(scores(alone), scores(together), rtol=1e-4)


def test_every_hypothesis_ends(poor):
    """One that would go on for ever ends at its limit, greedy or not, whatever may be repeated."""
    for how in (dict(width=1), dict(width=4, n_best=4), dict(sample=True, n_best=3), dict(width=2, no_repeat=1)):
        for best in poor.translate(SOURCES[:3], limit=0, **how):
            assert all(1 <= len(one.target) <= 10 for one in best)


def test_the_best_come_first_and_differ(poor):
    """n_best translations are different, and their scores fall."""
    for best in poor.translate(SOURCES[:4], width=4, n_best=4):
        assert len({tuple(one.target) for one in best}) == 4
        assert [one.score for one in best] == sorted((one.score for one in best), reverse=True)


def test_draws_are_those_of_their_seed(poor):
    """One seed draws the same every time, another seed others, and no one else's random state is touched."""
    before = states()
    one, again, other = (texts(poor.translate(SOURCES[:3], sample=True, n_best=3, draw=d)) for d in (1, 1, 2))
    assert one == again != other
    assert states() == before


def test_no_tokens_in_a_row_come_twice_where_forbidden(poor):
    """With no_repeat=2 no pair of tokens does, though without it some do."""

    def repeats(**how):
        runs = [[*zip(one.target, one.target[1:], strict=False)]
                for (one,) in poor.translate(SOURCES[:6], width=1, **how)]  # fmt: skip
        return sum(len(pairs) - len(set(pairs)) for pairs in runs)

    assert repeats() > 0
    assert repeats(no_repeat=2) == 0


def test_a_translation_begins_as_it_must(run, poor):
    """Prefixes are kept letter by letter, known or not, and continue as if the network had written them."""
    assert run.translate(["eins zwei drei"], prefixes=["one two"])[0][0].text == "one two three"
    found = poor.translate(["eins", "%s zwei", "drei", ""], prefixes=["eight Ωmega", "at %s", "", "two"])
    result = [best[0].text for best in found]
    assert result[0].startswith("eight Ωmega")
    assert result[1].split()[1] == "%s"
    assert result[2:] == [poor.predict("drei"), ""]
    long = " ".join(["two"] * 40)
    assert poor.translate(["eins"], prefixes=[long])[0][0].text.startswith(long)
    assert run.predict(["eins"], prefixes=["eight"])[0].startswith("eight")
    with pytest.raises(InputError, match="prefixes: expected 2, one for each sentence, got 1"):
        poor.translate(["eins", "zwei"], prefixes=["one"])


def test_an_ensemble_averages_its_runs(run, poor):
    """A run beside itself is the run; beside another, it is neither; runs of other tokens are refused."""
    alone, twice, both = run.translate(SOURCES[:6]), run.translate(SOURCES[:6], beside=[run]), None
    assert texts(alone) == texts(twice)
    np.testing.assert_allclose(scores(alone), scores(twice), rtol=1e-4, atol=1e-6)
    both = run.translate(SOURCES[:6], beside=[poor])
    assert not np.allclose(scores(both), scores(alone))
    assert not np.allclose(scores(both), scores(poor.translate(SOURCES[:6])))
    np.testing.assert_allclose(scores(both), scores(poor.translate(SOURCES[:6], beside=[run])), rtol=1e-4)
    other = translate.fit(TRAIN[:40], valid=NEW[:2], **QUICK | {"steps": 1, "vocabulary": 24})
    with pytest.raises(InputError, match="runs with the same tokens"):
        run.translate(SOURCES, beside=[other])


# ---- lines


def test_a_line_gives_a_line(run):
    """Empty lines stay empty where they are, white space and control characters do not count, no lines give none."""
    result = run.predict(["", SOURCES[0], "  ", "\x00", " eins\x07  zwei\u2028drei "])
    assert result == ["", run.predict(SOURCES[0]), "", "", "one two three"]
    assert run.predict([]) == []
    assert run.predict("") == ""
    assert [len(best) for best in run.translate(["", "eins zwei"], n_best=3)] == [1, 3]


def test_a_long_line_is_cut_and_joined(run):
    """Its parts, cut before words, are translated one by one; their attention lies in blocks, and nowhere else."""
    model = dataclasses.replace(run.model, longest=4)
    short = dataclasses.replace(run, model=model)
    line = "eins zwei drei vier fünf sechs sieben acht eins zwei"
    ids = model.source.encode([line])[0]
    assert [len(part) for part in split(model.source, ids, 4)] == [4, 4, 2]
    ((found,),) = short.translate([line])
    parts = [run.translate([part])[0][0] for part in ("eins zwei drei vier", "fünf sechs sieben acht", "eins zwei")]
    assert found.text == " ".join(part.text for part in parts)
    assert found.score == pytest.approx(sum(part.score for part in parts), rel=1e-4)
    row = column = 0
    for part in parts:
        high, wide = part.attention.shape
        block = found.attention[row : row + high, column : column + wide]
        np.testing.assert_allclose(block, part.attention, atol=1e-4)
        found.attention[row : row + high, column : column + wide] = 0
        row, column = row + high, column + wide
    assert found.attention.shape == (row, column)
    assert not found.attention.any()


def test_a_very_long_line_takes_no_more_than_its_parts(poor):
    """Six hundred words are translated, and a held-out line of as many does not enter the loss."""
    assert len(poor.translate([" ".join(["eins"] * 600)], width=1, limit=0)[0][0].source) == 600
    pairs, long = NEW[:2], " ".join(["eins"] * 600)
    how = QUICK | {"steps": 1}
    plain = translate.fit(TRAIN[:40], valid=pairs, **how)
    beside = translate.fit(TRAIN[:40], valid=[*pairs, (long, "one")], **how)
    assert beside.history[-1]["valid_loss"] == plain.history[-1]["valid_loss"]


# ---- catalogues and columns

CATALOGUE = """# Numbers.
msgid ""
msgstr "Content-Type: text/plain; charset=UTF-8\\n"

#: a.c:1
msgid "eins zwei drei"
msgstr "one two three"

#: a.c:2
#, c-format
msgid "vier %s sechs"
msgstr ""

msgid "eins acht zwei"
msgstr ""

#, fuzzy
msgid "acht acht acht"
msgstr "one"

#~ msgid "alt"
#~ msgstr "old"
"""


def test_a_catalogue_is_filled_and_nothing_else_changes(run, tmp_path):
    """What was empty is translated and marked fuzzy, with its placeholders; every other byte is as it was."""
    path = tmp_path / "de.po"
    path.write_text(CATALOGUE)
    outcome = run.predict(path)
    expected = CATALOGUE.replace("#, c-format", "#, fuzzy, c-format")
    expected = expected.replace('sechs"\nmsgstr ""', 'sechs"\nmsgstr "four %s six"')
    expected = expected.replace(
        'msgid "eins acht zwei"\nmsgstr ""', '#, fuzzy\nmsgid "eins acht zwei"\nmsgstr "one eight two"'
    )
    assert outcome.data.decode() == expected
    assert (outcome.filled, outcome.problems, outcome.empty) == (2, [], [])
    assert b'"eight eight eight"' in run.fill(po.load(path), fuzzy=True).data


def test_a_catalogue_is_trained_on(tmp_path):
    """Its finished messages are pairs to train on and to score on; nothing of it needs columns."""
    path = tmp_path / "de.po"
    path.write_text(CATALOGUE)
    run = translate.fit(path, valid=path, **QUICK | {"vocabulary": 40}, columns=("de", "en"))
    assert run.metrics["pairs"] == 1
    assert run.score(path)["sentences"] == 1


def test_columns_belong_to_one_file_of_pairs(tmp_path):
    """A run fitted on named columns reads them in a TSV and in JSON lines, and plain files all the same."""
    (tmp_path / "t.tsv").write_text("id\tde\ten\n" + "".join(f"7\t{x}\t{y}\n" for x, y in TRAIN[:40]))
    (tmp_path / "t.jsonl").write_text("".join(json.dumps({"en": y, "de": x}) + "\n" for x, y in NEW[:3]))
    for side, name in enumerate(("v.de", "v.en")):
        (tmp_path / name).write_text("".join(pair[side] + "\n" for pair in NEW[:3]))
    files = tmp_path / "v.de", tmp_path / "v.en"
    run = translate.fit(tmp_path / "t.tsv", valid=files, columns=("de", "en"), **QUICK)
    assert run.metrics["pairs"] == 40
    names = ("bleu", "chrf", "sentences")
    assert [run.score(*files)[k] for k in names] == [run.score(tmp_path / "t.jsonl")[k] for k in names]
    assert run.predict(tmp_path / "t.jsonl") == run.predict(files[0])
    assert len(run.predict(tmp_path / "t.tsv")) == 40


# ---- the same again


@pytest.mark.parametrize("lie", [
    dict(units=10**6), dict(embedding=10**6), dict(layers=10**9), dict(layers=0), dict(units=8.0), dict(feeding=10**6),
    dict(coverage=-1), dict(attend="both"), dict(attention="none"), dict(cell="rnn"), dict(source=10**9), dict(more=1),
    dict(feeding=False), dict(attention="dot"),
], ids=str)  # fmt: skip
def test_a_folder_whose_shape_lies_is_refused(poor, tmp_path, lie):
    """Before memory is taken for what it claims, with one clear error."""
    poor.save(tmp_path)
    found = checkpoint.load(tmp_path)
    found.extras["shape"] |= lie
    how = dict(task="translate", metrics=found.metrics, extras=found.extras, arrays=found.arrays)
    checkpoint.save(tmp_path, found.config, found.state, **how)
    with pytest.raises(InputError):
        translate.load(tmp_path)


def test_a_memory_that_is_no_text_is_refused(poor, tmp_path):
    """Bytes that are no UTF-8 where the baseline remembers its sentences are one clear error."""
    poor.save(tmp_path / "run")
    found = checkpoint.load(tmp_path / "run")
    arrays = found.arrays | {"memory.source": np.array([255], np.uint8)}
    how = dict(task="translate", metrics=found.metrics, extras=found.extras, arrays=arrays)
    checkpoint.save(tmp_path / "run", found.config, found.state, **how)
    with pytest.raises(InputError, match="a run of translate as this version writes it"):
        translate.load(tmp_path / "run")


# ---- when it stops, and what is best


def test_it_stops_in_time_and_when_nothing_improves():
    """A time limit ends a fit of a million steps; patience ends one that only gets worse; the best weights stay."""
    how = QUICK | {"steps": 10**6, "batch": 800}
    assert translate.fit(TRAIN[:40], valid=NEW[:2], **how, time_limit=1.5).metrics["stopped"] == "time"
    run = translate.fit(TRAIN[:40], valid=NEW[:2], **how | {"steps": 60, "lr": 2.0, "patience": 2})
    assert run.metrics["stopped"] == "patience"
    losses = {row["step"]: row["valid_loss"] for row in run.history if "valid_loss" in row}
    assert run.metrics["best_step"] == min(losses, key=losses.__getitem__)


def test_where_there_is_no_bleu_the_loss_decides():
    """Lone words have no BLEU; the best of the evaluations is then that of the lowest loss, not the first."""
    words = [(w, t) for w, t in ENGLISH.items()] * 5
    run = translate.fit(words, valid=words[:8], **QUICK | {"monitor": "bleu", "steps": 6, "lr": 0.02, "batch": 80})
    rows = [row for row in run.history if "valid_errors" in row]
    assert all(row["valid_errors"] == pytest.approx(100 + row["valid_loss"]) for row in rows)
    assert run.metrics["best_step"] == min(rows, key=lambda row: row["valid_loss"])["step"] > rows[0]["step"]


def test_placeholders_are_sentinels_in_the_held_out_loss_too():
    """Its loss there is that of the training pairs."""
    pairs = [("eins %s", "one %s")] * 30
    run = translate.fit(pairs, valid=[("eins %(x)s", "one %(x)s")], **QUICK | {"steps": 15, "lr": 0.1})
    assert run.history[-1]["valid_loss"] == pytest.approx(run.history[-1]["loss"], abs=0.3)


# ---- mistakes


def test_mistakes_name_their_place(run, tmp_path):
    """Each is one error that names what was expected and what came."""
    for message, call in {
        "at least 20 pairs, got 1": lambda: translate.fit([("eins", "one")], progress=False),
        "a pair of at most 2 tokens a side": lambda: translate.fit(TRAIN, **QUICK, longest=2),
        "as many lines in both": lambda: translate.fit(["eins"] * 30, ["one"] * 29, **QUICK),
        "Did you mean 'units'": lambda: translate.fit(TRAIN, unit=3),
        "Did you mean 'width'": lambda: run.predict("eins", widht=3),
        "n_best: expected at most width, 2": lambda: run.predict("eins", width=2, n_best=3),
        "width: expected a whole number from 1 to": lambda: run.predict("", width=0),
        "temperature": lambda: run.predict("", sample=True, temperature=0),
        "top_p": lambda: run.predict("", sample=True, top_p=0),
        "length_penalty": lambda: run.predict("", length_penalty=-1),
        "expected sentences, got one string": lambda: run.translate("eins"),
        "prefixes: expected a list": lambda: run.translate(["eins"], prefixes="one"),
        "number 2: expected a string": lambda: run.predict(["eins", 2]),
        "columns: expected two names": lambda: translate.Config(columns=("a",)),
        "no such file": lambda: run.predict(Path(tmp_path / "none.de")),
        "the folder out": lambda: translate.fit(TRAIN, **QUICK, resume=True),
    }.items():
        with pytest.raises(InputError, match=message):
            call()


def test_a_corpus_of_one_word_is_fitted():
    """A word and its translation, again and again, is all that there is to say."""
    run = translate.fit([("ja", "yes")] * 20, valid=[("ja", "yes")], **QUICK | {"steps": 12, "lr": 0.05})
    assert run.predict(["ja", "", "ja ja"], limit=0)[:2] == ["yes", ""]
