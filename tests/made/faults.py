"""Damaged and hostile input made of good ones: files of data, run folders, programs of cells.

`prepare(folder)` of a kind makes what its cases are made of; `case(made, draw, place)` makes one in an empty folder and
gives it to the product. It returns "taken" or "refused"; any other exception is a fault.
"""

import contextlib
import copy
import gzip
import hashlib
import io
import json
import math
import random
import struct
import wave
import zipfile
from unittest import mock

import numpy as np
import pandas as pd
import safetensors.torch
import soundfile
import torch
from PIL import Image

from gated import InputError, cells, classify, cli, forecast, tag, transcribe, translate
from gated.decode import ngram
from gated.features import alphabet
from gated.io import images, vectors
from gated.io.text import open_stream
from gated.kernels.trace import trace
from gated.tasks import TASKS
from gated.tasks.transcribe import language
from gated.tasks.transcribe.data import read_items
from gated.tasks.translate import documents, po
from made.damage import VALUES, damage_tensor, damage_text, mutate
from made.tasks import EXAMPLES

LINES, SMALL = ["lo hi up", "hi lo"] * 20, language.Config(steps=2, units=8, layers=1)


class Read(Exception):
    """The data have been read: what a fit would do with them is not asked."""


# ---- files of data

CLASSES = {
    "x.csv": b'review,stars\nthe film is fine,good\n"a dull, sad plot",bad\n\nlovely,good\n' * 2,
    "x.jsonl": b'{"review": "the film is fine", "stars": ["good"]}\n{"review": "dull", "stars": 3}\n' * 2,
    "x.txt": b"__label__good the film is fine\n__label__bad dull\n" * 2,
    "x.ts": b"# c\n@timeStamps false\n@classLabel true a b\n@data\n1,2,?:4,5,6:a\n1.5,-2e3:NaN,5:b\n",
    "y.ts": b"@timeStamps true\n@classLabel true a b\n@data\n(0,1),(1,2):a\n(0,1):b\n",
    "x.tsv": b"1\t0.5\t1e-3\t-2\tNaN\n2\t1\t2\t3\t4\n" * 2,
}
TAGS = {
    "x.conll": b"# c\n-DOCSTART- O\n\nMary B-PER\nsaw O\n\nNew B-LOC\nYork I-LOC\n",
    "x.conllu": b"1-2\tDon't\t_\t_\t_\t_\t_\t_\t_\t_\n1\tDo\tdo\tAUX\tVB\t_\t0\troot\t_\t_\n\n",
    "x.jsonl": b'{"text": "Mary saw Oslo", "spans": [[0, 4, "PER"], [9, 13, "LOC"]], "intent": "see"}\n' * 3,
    "x": b"Mary saw Oslo.\n\nDon't!\n",
    "v.txt": b"2 3\nthe 1 2 3\nof 0.5 -1 2e-3\n",
    "v.bin": b"2 1\nthe \x00\x00\x80?\nof \x00\x00\x00@\n",
}

TIMES = ("%Y-%m-%d %H:%M", "%d.%m.%Y %H:%M", "%Y%m%d%H", "%m/%d/%Y %H:%M")


def table_file(draw):
    """A table of two shops, in one of many notations and formats."""
    t = pd.date_range("2024-01-01", periods=40, freq=draw.choice(("D", "h", "MS", "W"))).strftime(draw.choice(TIMES))
    shops = enumerate(("north", "süd"))
    frame = pd.concat(
        [pd.DataFrame({"date": t, "shop": shop, "qty": np.arange(40) * 1.5 + k, "price": 2.5}) for k, shop in shops],
        ignore_index=True,
    )
    name, buffer = (
        draw.choice(("x.csv", "x.csv", "x.csv.gz", "x.csv.zip", "x.parquet", "x.json", "x.jsonl")),
        io.BytesIO(),
    )
    if name == "x.parquet":
        frame.to_parquet(buffer)
        return name, buffer.getvalue()
    if name == "x.json":
        return name, frame.to_json(orient=draw.choice(("records", "columns", "split"))).encode()
    if name == "x.jsonl":
        return name, frame.to_json(orient="records", lines=True).encode()
    text = frame.to_csv(index=False, sep=draw.choice(",;\t|"), decimal=draw.choice(".,"))
    data = text.encode(draw.choice(("utf-8", "utf-16")))
    return name, gzip.compress(data) if name == "x.csv.gz" else packed("x.csv", data) if name == "x.csv.zip" else data


def packed(name, data):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return buffer.getvalue()


PAIRS = [(f"Satz {k} mit {k * 3} Wörtern", f"sentence {k} of {k * 3} words") for k in range(30)]


def each(form, first="", last=""):
    """A text with a part for every pair: of {k}, its number, {n}, the next, {a} and {b}, its sides."""
    parts = [form.replace("{k}", f"{k:02d}").replace("{n}", f"{k + 1:02d}").replace("{a}", a).replace("{b}", b)
             for k, (a, b) in enumerate(PAIRS)]  # fmt: skip
    return first + "".join(parts) + last


TEXTS = {
    "x.txt": each("{a}\n"),
    "x.tsv": each("{a}\t{b}\n"),
    "x.csv": each('"{a}","{b}"\n', "de,en\n"),
    "x.jsonl": each('{"source": "{a}", "target": "{b}"}\n'),
    "x.po": each(
        '#, c-format\nmsgid "{b} %d"\nmsgstr "{a} %d"\n\n',
        'msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\n"\n'
        '"Plural-Forms: nplurals=2; plural=(n != 1);\\n"\n\n',
        'msgid "one {x}"\nmsgid_plural "many {x}"\nmsgstr[0] "ein {x}"\nmsgstr[1] ""\n',
    ),
    "x.srt": each("{k}\n00:00:{k},000 --> 00:00:{n},500\n<i>{a}</i>\n- {b}\n\n"),
    "x.vtt": each("00:{k}.000 --> 00:{n}.500 align:start\n{a}\n\n", "WEBVTT\n\nNOTE x\n\n"),
    "x.json": each('"key.{k}": {"a": "{a}", "b": ["{b}", {n}0, null]},\n', "{", '"z": "\\u00e4"}'),
    "x.strings": each('"key {k}" = "{a} %@";\n', "/* x */\n"),
    "x.ftl": each("key-{k} = {a} { $n }\n    .title = {b}\n", "# x\n"),
    "x.xml": each(
        '<string name="k{k}">{a} %1$d &amp; {b}</string>\n', "<?xml version='1.0'?>\n<resources>\n", "</resources>\n"
    ),
    "x.xliff": each(
        "<trans-unit id='{k}'><source>{a}</source><target>{b}</target></trans-unit>\n",
        '<?xml version="1.0"?><xliff version="1.2"><file source-language="de" target-language="en"><body>\n',
        "<trans-unit id='x'><source>Satz</source></trans-unit></body></file></xliff>\n",
    ),
    "x.tmx": each(
        "<tu><tuv xml:lang='de'><seg>{a}</seg></tuv><tuv xml:lang='en'><seg>{b}</seg></tuv></tu>\n",
        '<?xml version="1.0"?><tmx version="1.4"><header srclang="de"/><body>\n', "</body></tmx>\n",
    ),
    "x.html": each("<p class='a'>{a} <b>{b}</b>&nbsp;</p>\n", "<!doctype html><html><body>", "</body></html>"),
    "x.arpa": (
        "\\data\\\nngram 1=5\nngram 2=3\n\n\\1-grams:\n-0.5\t<s>\t-0.3\n-1\t</s>\n-1\t<unk>\n-0.7\tup\t-0.2\n"
        "-0.9\tlo\t-0.1\n\n\\2-grams:\n-0.3\t<s> up\n-0.4\tup lo\n-0.2\tlo </s>\n\n\\end\\\n"
    ),
}  # fmt: skip


def media_files():
    rng = np.random.default_rng(0)
    sound = (rng.normal(size=2000) * 3000).astype("<i2")
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(sound.tobytes())
    yield "x.wav", buffer.getvalue()
    for name, form in (("x.flac", "FLAC"), ("x.ogg", "OGG"), ("x.au", "AU"), ("x.aiff", "AIFF"), ("x.mp3", "MP3")):
        buffer = io.BytesIO()
        soundfile.write(buffer, sound, 8000, format=form)
        yield name, buffer.getvalue()
    page = Image.fromarray((rng.random((24, 90)) * 255).astype(np.uint8))
    for name, form in (("x.png", "PNG"), ("x.jpg", "JPEG"), ("x.tif", "TIFF"), ("x.bmp", "BMP"), ("x.webp", "WEBP"),
                       ("x.pgm", "PPM")):  # fmt: skip
        buffer = io.BytesIO()
        page.save(buffer, form)
        yield name, buffer.getvalue()


def fitted(folder):
    """The folders of tiny runs of tasks, by name, and of a language model of the transcriber's symbols."""
    runs = {name: folder / name / "run" for name in ("classify", "forecast", "tag", "translate", "transcribe")}
    for name, run in runs.items():
        run.parent.mkdir()
        EXAMPLES[name].write(run.parent)
        with contextlib.chdir(run.parent):
            cli.main([name, "fit", *EXAMPLES[name].fit.split(), "--quiet", "--out", "run"])
    letters = transcribe.load(runs["transcribe"]).model.alphabet
    language.fit(LINES, letters, SMALL, out=folder / "letters", progress=False)
    return runs | {"letters": folder / "letters"}


class Data:
    """Files of data of every task and format."""

    @staticmethod
    def prepare(folder):
        runs = fitted(folder)
        return {name: TASKS[name].load(run) for name, run in runs.items() if name in TASKS}, list(media_files())

    @staticmethod
    def case(made, draw, place):
        runs, media = made
        kind = draw.choice(("table", "table", "text", "text", "text", "media", "manifest", "tags", "classes"))
        if kind == "table":
            name, data = table_file(draw)
        elif kind == "text":
            name, data = draw.choice(list(TEXTS.items()))
            data = data.encode(draw.choice(("utf-8", "utf-8", "utf-8", "utf-16", "latin-1")), "replace")
        elif kind == "media":
            name, data = draw.choice(media)
        elif kind == "tags":
            name, data = draw.choice(list(TAGS.items()))
        elif kind == "classes":
            name, data = draw.choice(list(CLASSES.items()))
        else:
            rows = [{"path": f"{k}.wav", "text": "lo hi", "start": 0.0, "end": 0.05, "speaker": "a"} for k in range(3)]
            table = pd.DataFrame(rows)
            name = draw.choice(("x.csv", "x.tsv", "x.jsonl"))
            data = (table.to_json(orient="records", lines=True) if name == "x.jsonl" else
                    table.to_csv(index=False, sep="\t" if name == "x.tsv" else ",")).encode()  # fmt: skip
            for row in rows:
                (place / row["path"]).write_bytes(media[0][1])
        data = mutate(data, draw)
        if draw.random() < 0.1:
            name, data = f"{name}.gz", gzip.compress(data)
        if draw.random() < 0.05:
            name = draw.choice([*TEXTS, "x.parquet", "x.wav", "x.png", "x.xlsx", "x"])
        path = place / name
        path.write_bytes(data)
        how = {"table": tables, "text": texts, "media": items, "manifest": items, "tags": tags, "classes": classes}[
            kind
        ]
        return attempt(lambda: how(runs, path, draw))


def attempt(call):
    try:
        call()
    except (Read, InputError) as end:
        return "taken" if isinstance(end, Read) else "refused"
    return "taken"


def stop(*_, **__):
    raise Read


def tables(runs, path, draw):
    if draw.random() < 0.5:
        runs["forecast"].predict(str(path))
    else:
        names = dict(time="date", target="qty", id="shop", known=("price",)) if draw.random() < 0.8 else {}
        with mock.patch("gated.tasks.forecast.training.fit", stop):
            forecast.fit(str(path), horizon=3, progress=False, **names)


def texts(runs, path, draw):
    if path.suffix == ".arpa":
        ngram.load(path)
    elif draw.random() < 0.5:
        with mock.patch("gated.tasks.translate.training.fit", stop):
            translate.fit(str(path), progress=False)
    else:
        with open_stream(str(path)) as stream:
            document = documents.read(stream)
        if document is None:
            runs["translate"].read_lines(str(path))
        elif isinstance(document, documents.Document):
            documents.translate(document, lambda lines: [[line.upper()] for line in lines])
        else:
            po.translate(document, lambda lines: [[line.upper()] for line in lines])


def classes(runs, path, draw):
    if draw.random() < 0.6:
        names = dict(text="review", target="stars") if draw.random() < 0.5 and path.suffix in (".csv", ".jsonl") else {}
        with mock.patch("gated.tasks.classify.training.fit", stop):
            classify.fit(str(path), progress=False, output=draw.choice(("auto", "labels", "number")), **names)
    else:
        runs["classify"].predict(path)


def tags(runs, path, draw):
    if path.name.startswith("v"):
        vectors.read(str(path))
    elif draw.random() < 0.5:
        with mock.patch("gated.tasks.tag.training.fit", stop):
            tag.fit(str(path), progress=False)
    else:
        runs["tag"].predict(path)


def items(runs, path, draw):
    if path.suffix in (".csv", ".tsv", ".jsonl") and draw.random() < 0.5:
        with mock.patch("gated.tasks.transcribe.training.fit", stop):
            transcribe.fit(str(path), progress=False)
    else:
        dataset = read_items(str(path), text=False)
        if dataset.kind == "sound":
            runs["transcribe"].read(dataset, "skip")
        else:
            images.columns(str(path), height=24)


# ---- run folders


def damage_json(data, draw):
    """A JSON file with one to three of its values changed, put in, or taken away."""
    content = json.loads(data)
    for _ in range(draw.choice((1, 1, 2, 3))):
        parent, key = content, draw.choice(list(content)) if content else None
        while key is not None and isinstance(parent[key], dict | list) and parent[key] and draw.random() < 0.85:
            parent = parent[key]
            key = draw.choice(list(parent)) if isinstance(parent, dict) else draw.randrange(len(parent))
        if key is None:
            content["x"] = copy.deepcopy(draw.choice(VALUES))
            continue
        way, old = draw.randrange(6), parent[key]
        if way == 0:
            del parent[key]
        elif way == 1 and isinstance(old, int | float) and not isinstance(old, bool):
            parent[key] = draw.choice((-old, old * 1000, old + 1, old - 1, float(old), str(old), old * 10**9))
        elif way == 2 and isinstance(old, list):
            parent[key] = draw.choice(
                (copy.deepcopy(old) + old, old[:-1], old[::-1], [*old, copy.deepcopy(draw.choice(VALUES))], [old])
            )
        elif way == 3 and isinstance(parent, dict):
            parent[draw.choice((f"{key}x", "x", ""))] = copy.deepcopy(parent[key])
        else:
            parent[key] = copy.deepcopy(draw.choice(VALUES))
    return json.dumps(content).encode("utf-8", "replace")


def damage_tensors(data, draw):
    """A file of tensors with one of them another, or with another header."""
    length = struct.unpack("<Q", data[:8])[0]
    if draw.random() < 0.4:
        header = damage_json(data[8 : 8 + length], draw)
        return (
            struct.pack("<Q", draw.choice((len(header), len(header), len(header) + 8, 2**40)))
            + header
            + data[8 + length :]
        )
    state = safetensors.torch.load(data)
    name = draw.choice(sorted(state))
    old, kinds = (
        state[name],
        (torch.bfloat16, torch.float64, torch.int64, torch.uint8, torch.float32, torch.bool, torch.float16),
    )
    way = draw.randrange(7)
    if way == 0:
        del state[name]
    elif way == 1:
        state[name] = old.to(draw.choice(kinds))
    elif way == 2:
        state[name] = old.flatten()[: old.numel() // 2].clone()
    elif way == 3:
        state[name] = draw.choice((torch.zeros(()), torch.zeros(0), torch.zeros(3, 0), old.flatten(), old[None])).to(
            old.dtype
        )
    elif way == 4:
        state[draw.choice(("x", "", "\x1b[2J\n", f"{name}.x"))] = state.pop(name)
    elif way == 5:
        state[name] = torch.cat([old.flatten()] * 3)[: draw.randrange(1, 3 * old.numel() + 2)] if old.numel() else old
    elif old.numel():
        new = old.clone().flatten()
        new[draw.randrange(len(new))] = draw.choice(
            (0, 1, -1, math.nan, math.inf, 1e30) if old.is_floating_point() else (0, 1, 100)
        )
        if not old.is_floating_point() and old.dtype == torch.int64:
            new[draw.randrange(len(new))] = draw.choice((-1, 2**40, 2**62, -(2**63)))
        state[name] = new.reshape(old.shape)
    return safetensors.torch.save({key: value.contiguous() for key, value in state.items()})


class Runs:
    """Folders of runs, with sums that are right, and what a stopped fit left."""

    @staticmethod
    def prepare(folder):
        names = fitted(folder)
        made = {
            name: {path.name: path.read_bytes() for path in run.iterdir() if path.is_file()}
            for name, run in names.items()
        }
        return {
            name: {n: d for n, d in one.items() if n.endswith((".json", ".safetensors"))} for name, one in made.items()
        }

    @staticmethod
    def case(made, draw, place):
        name = draw.choice(sorted(made))
        parts = {part: data for part, data in made[name].items() if part != "training.safetensors"}
        if name == "letters" and draw.random() < 0.5:  # what a stopped fit left
            data = made[name]["training.safetensors"]
            damage = mutate if draw.random() < 0.2 else damage_tensors
            (place / "training.safetensors").write_bytes(damage(data, draw))
            letters = alphabet.restore(json.loads(parts["learnt.json"])["alphabet"])
            return attempt(lambda: language.fit(LINES, letters, SMALL, out=place, resume=True, progress=False))
        part = draw.choice(sorted(parts))
        if draw.random() < 0.15:
            parts[part] = mutate(parts[part], draw)
        elif part.endswith(".json"):
            parts[part] = damage_json(parts[part], draw)
        else:
            parts[part] = damage_tensors(parts[part], draw)
        if part != "config.json" and draw.random() < 0.9:
            head = json.loads(parts["config.json"])
            head["files"][part] = {"bytes": len(parts[part]), "sha256": hashlib.sha256(parts[part]).hexdigest()}
            parts["config.json"] = json.dumps(head).encode()
        for part, data in parts.items():
            (place / part).write_bytes(data)
        return attempt(lambda: use(name, place))


def use(name, folder):
    """Load the run of a folder and let it do a little."""
    if name == "letters":
        language.load(folder).log_probs(["lo hi"])
        return
    run = TASKS[name].load(folder)
    run.summary()
    if name == "forecast":
        run.predict()
    elif name == "translate":
        run.predict(["eins zwei", ""])
    elif name == "classify":
        run.predict(["the film", ""])
    elif name == "tag":
        run.predict(["Mary saw", ""])
        run.score([[("Mary", "B-PER")]], crfsuite=False)
    else:
        run.search([np.zeros((run.model.frames.rows, 40), np.float32)], transcribe.Search())


# ---- programs

CELLS = [cells.lstm(), cells.lstm(peephole=True), cells.gru(), cells.rnn()]


class Programs:
    """Calls of the native core's operator, with programs and arguments that no layer would make."""

    @staticmethod
    def prepare(_):
        return [(cell, str(trace(cell))) for cell in CELLS]

    @staticmethod
    def case(made, draw, _):
        cell, text = draw.choice(made)
        T, B, I, H = (draw.randrange(1, 6) for _ in range(4))
        shapes = cell.shapes(I, H, H, True)
        weights = [torch.randn(shape) for shape in shapes.values()]
        x, states, lengths, seed, keep, train, chunk, bf16 = torch.randn(T, B, I), [], None, None, "", True, 0, False
        if draw.random() < 0.7:
            text = damage_text(text, draw)
        for _ in range(draw.choice((0, 1, 1, 2))):
            way = draw.randrange(9)
            if way == 0:
                chunk = draw.choice((-1, -5, 1, 3, 2**31, 2**62, -(2**63)))
            elif way == 1 and weights:
                k = draw.randrange(len(weights))
                weights[k] = damage_tensor(weights[k], draw)
            elif way == 2:
                x = damage_tensor(x, draw)
            elif way == 3:
                states = [damage_tensor(torch.randn(1, B, H), draw) for _ in range(draw.randrange(4))]
            elif way == 4:
                lengths = draw.choice(
                    (
                        torch.tensor([T] * B),
                        torch.tensor([-1] * B),
                        torch.tensor([2**40] * B),
                        torch.zeros(0, dtype=torch.long),
                        torch.rand(B),
                    )
                )
            elif way == 5:
                keep = draw.choice(("h", "c", "i,f", "x", "h,h", ",", "\0", "a" * 1000))
            elif way == 6:
                seed = draw.choice((torch.tensor(1), torch.tensor([1, 2]), torch.tensor(0.5), torch.tensor(-1)))
            elif way == 7:
                weights = draw.choice((weights[:-1], weights * 2, [], weights[::-1]))
            else:
                train, bf16 = draw.random() < 0.5, draw.random() < 0.5
        grad = draw.random() < 0.3
        inputs = [x, *states, *weights]
        if grad:
            inputs = [one.requires_grad_() if one.is_floating_point() else one for one in inputs]

        def call():
            try:
                made = torch.ops.gated.scan.default(text, x, states, weights, lengths, seed, keep, train, chunk, bf16)
                if grad and made[0].requires_grad:
                    made[0].sum().backward()
            except (RuntimeError, ValueError) as error:  # torch's words for a call that does not fit
                raise InputError(str(error)) from None

        return attempt(call)


KINDS = {"data": Data, "runs": Runs, "programs": Programs}


def draw_of(kind, n, seed=0):
    """The random numbers of a case."""
    return random.Random(f"{kind} {seed} {n}")
