"""Transcription, measured: lines of print, joined and single digits, a hidden Markov model beside it, live listening.

    python benchmarks/transcribe.py [--only print joined singles streaming starts] [--jobs 2]

Each model learns on one thread, in a process of its own, `jobs` of them at a time. GATED_DATA names the folder with
ocr/uw3-500.tgz and speech/spoken_digits.tar.gz; `transcribe_sets.py` says what is made of them. Runs are kept in
build/transcribe; results are written to benchmarks/results/transcribe.json and .md after each model.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import torch

import sheet
import transcribe_hmm
import transcribe_sets as sets
from gated import transcribe
from gated.tasks.transcribe.data import read_items

RESULTS = Path(__file__).parent / "results"
SPLITS, SEEDS = range(3), range(10)
PRINT = dict(hold=0, time_limit=9.5 * 60)
DIGITS = dict(tokens="word", join=7, hold=0, time_limit=9.5 * 60)
APART = dict(normalise="speaker")  # an unknown speaker's voice, all of it, tells what is usual for it
SINGLE = dict(tokens="word", hold=0, time_limit=5 * 60)
STREAM = dict(tokens="word", join=7, hold=0, streaming=True, time_limit=10 * 60)
LETTERS = dict(alpha=0.2, beta=0.3)  # weights of the n-gram of letters; chosen on split 0
START = dict(hold=0, steps=600)
KEPT = (
    "wer", "cer", "exact", "interval", "lines", "words", "characters", "seconds", "rtf", "baselines", "confusions",
)  # fmt: skip  # of a score
CHUNK = 0.1  # seconds
WRITING = Lock()  # of results
REFERENCES = {
    "print": "CLSTM 4.9 % after 5,000 lines",
    "joined": "a first try of ours on plain torch layers: 3.5 % (recordings held out), 5.3 % (a speaker held out)",
}


def fitted(name: str, train: Path, options: dict[str, Any], minutes: float | None, seed: int = 0) -> transcribe.Run:
    """A run, learnt now."""
    limit = {} if minutes is None else dict(time_limit=60 * minutes)
    return transcribe.fit(
        train, out=sets.HOME / "runs" / name, overwrite=True, seed=seed, progress=False, **options | limit
    )


def facts(run: transcribe.Run, **scores: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a run and of its scores."""
    told = {part: {k: score[k] for k in KEPT} for part, score in scores.items()}
    for score in told.values():
        score["confusions"] = {unit: rows[:10] for unit, rows in score["confusions"].items()}
    weights = sum(p.numel() for p in run.model.network.parameters())
    return {
        "fit_seconds": run.metrics["fit_seconds"], "steps": run.metrics["steps"], "passes": run.metrics["passes"],
        "weights": weights, "threads": torch.get_num_threads(), "options": given(run), **told,
    }  # fmt: skip


def given(run: transcribe.Run) -> dict[str, Any]:
    """The options that are not the defaults."""
    usual = transcribe.Config()
    return {
        k: getattr(run.config, k) for k in usual.__dataclass_fields__ if getattr(run.config, k) != getattr(usual, k)
    }


def print_(split: int, minutes: float | None) -> dict[str, Any]:
    train, test = sets.lines(split)
    run = fitted(f"print-{split}", train, PRINT, minutes)
    return facts(run, test=run.score(test), guided=run.score(test, lm=str(sets.letters(split)), **LETTERS))


def joined(apart: str, minutes: float | None) -> dict[str, Any]:
    train, alone, strings = sets.joined(apart)
    run = fitted(f"joined-{apart}", train, DIGITS | ({} if apart == "official" else APART), minutes)
    return facts(run, test=run.score(strings), singles=run.score(alone))


def singles(minutes: float | None) -> dict[str, Any]:
    """The official split: a network, and a hidden Markov model on the same frames."""
    train, test, _ = sets.joined("official")
    run = fitted("singles", train, SINGLE, minutes)
    how = run.model.frames
    examples = [[(how.read(item), item.text or "") for item in read_items(part).items] for part in (train, test)]
    hidden = transcribe_hmm.run(*examples, seed=0)
    return facts(run, test=run.score(test)) | {"hidden_markov_model": hidden}


def streaming(minutes: float | None) -> dict[str, Any]:
    """A streaming network: its error rate, its transcripts streaming and offline, and its latency."""
    train, _, strings = sets.joined("official")
    run = fitted("streaming", train, STREAM, minutes)
    dataset = read_items(strings)
    whole = run.predict(strings)
    latency, live = transcribe.Latency(), []
    began = time.perf_counter()
    for item in dataset.items:
        updates = run.listen(item.path, latency, chunk=CHUNK)
        parts = [one.text for update in updates for one in update.utterances]
        live.append(" ".join(parts))
    seconds = time.perf_counter() - began
    return facts(run, test=run.score(strings)) | {
        "equal": sum(a == b for a, b in zip(whole, live, strict=True)), "of": len(live), "wall_seconds": seconds,
        "latency": latency.result(),
    }  # fmt: skip


def starts(kind: str) -> dict[str, Any]:
    """Ten seeds on little data: the error on what was learnt from after a few hundred updates."""
    rows = (sets.lines(0)[0] if kind == "print" else sets.joined("official")[0]).read_text().splitlines()
    some = [rows[0], *(rows[1 + k] for k in np.random.default_rng(0).permutation(len(rows) - 1)[:100])]
    few = sets.HOME / f"few-{kind}.csv"
    few.write_text("\n".join(some) + "\n")
    errors = []
    for seed in SEEDS:
        more = {} if kind == "print" else dict(tokens="word")
        run = fitted(f"start-{kind}-{seed}", few, START | more, None, seed)
        errors.append(run.score(few)["cer"])
    return {"examples": 100, "updates": START["steps"], "cer": errors, "going": sum(e < 0.5 for e in errors)}


JOBS = {
    "print": [("print", str(split)) for split in SPLITS],
    "joined": [("joined", apart) for apart in ("official", "george", "jackson", "lucas", "nicolas", "theo")],
    "singles": [("singles", "")],
    "streaming": [("streaming", "")],
    "starts": [("starts", "print"), ("starts", "digits")],
}  # fmt: skip


def job(part: str, which: str, minutes: float | None) -> dict[str, Any]:
    if part == "print":
        return print_(int(which), minutes)
    if part == "joined":
        return joined(which, minutes)
    if part == "starts":
        return starts(which)
    return {"singles": singles, "streaming": streaming}[part](minutes)


def keep(part: str, which: str, found: dict[str, Any]) -> None:
    """Write a job's result, beside what is there by now."""
    path = RESULTS / "transcribe.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    results.setdefault(part, {})[which] = found
    results["machine"] = sheet.machine()
    path.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
    (RESULTS / "transcribe.md").write_text(report(results))


def percent(share: float) -> str:
    return f"{100 * share:.2f} %"


def report(results: dict[str, Any]) -> str:
    """The results as a page."""
    machine = results["machine"]
    told = [
        "# Transcription, measured",
        f"`make bench-transcribe`, {machine['date']}, {machine['processor']}, {machine['processors']} processors, "
        f"torch {machine['torch']}. Each model learnt on one thread, two at a time.",
    ]
    if "print" in results:
        found = sorted(results["print"].items())
        rows = [["lines of print (UW3-500), split", "CER", "95 %", "lines right", "with an n-gram", "fit", "passes"]]
        for split, r in found:
            t = r["test"]
            span = " – ".join(percent(v) for v in t["interval"]["cer"])
            led = percent(r["guided"]["cer"])
            rows.append([split, percent(t["cer"]), span, percent(t["exact"]), led, spent(r), f"{r['passes']:.0f}"])
        mean, led = (percent(float(np.mean([r[part]["cer"] for _, r in found]))) for part in ("test", "guided"))
        rows.append([f"mean of {len(found)}", f"**{mean}**", "", "", f"**{led}**", "", ""])
        told += [
            sheet.table(rows),
            f"Reference: {REFERENCES['print']}. No page and no text is in both parts. The n-gram, of {sets.ORDER} "
            f"letters, is counted in Python's manual and the lines to learn from; α = {LETTERS['alpha']} and "
            f"β = {LETTERS['beta']} were chosen on split 0.",
        ]
    if "joined" in results:
        found = results["joined"]
        rows = [["digits joined to strings; held out", "WER", "95 %", "single digits wrong", "fit", "updates"]]
        for apart, r in sorted(found.items(), key=lambda one: (one[0] != "official", one[0])):
            t = r["test"]
            name = "recordings 0–4 of each speaker" if apart == "official" else f"the speaker {apart}"
            span = " – ".join(percent(v) for v in t["interval"]["wer"])
            rows.append(
                [name, f"**{percent(t['wer'])}**", span, percent(r["singles"]["wer"]), spent(r), f"{r['steps']:,}"]
            )
        alone = [r["test"]["wer"] for apart, r in found.items() if apart != "official"]
        if alone:
            rows.append([f"mean of {len(alone)} speakers", f"**{percent(float(np.mean(alone)))}**", "", "", "", ""])
        told += [
            sheet.table(rows),
            "The strings are joined from single recordings, with silence between and noise 30 dB below; no one spoke "
            f"them. Reference: {REFERENCES['joined']}.",
        ]
    for r in results.get("singles", {}).values():
        t, h = r["test"], r["hidden_markov_model"]
        rows = [
            ["single digits, official split", "right", "numbers", "fit", "reading"],
            ["network", f"**{percent(1 - t['wer'])}**", f"{r['weights']:,}", spent(r), f"{t['seconds']:.2f} s"],
            ["hidden Markov models", percent(h["accuracy"]), f"{h['parameters']:,}", f"{h['fit_seconds']:.0f} s",
             f"{h['read_seconds']:.2f} s"],
        ]  # fmt: skip
        told += [
            sheet.table(rows),
            f"{t['lines']} recordings; {h['states']} states of {h['gaussians']} Gaussians a word.",
        ]
    for r in results.get("streaming", {}).values():
        took = r["latency"]["milliseconds"]
        rows = [
            ["streaming, chunks of 0.1 s", ""],
            ["WER (forward only, recordings 0–4 held out)", percent(r["test"]["wer"])],
            ["streaming transcripts equal to offline ones", f"{r['equal']} of {r['of']}"],
            ["real-time factor, one thread", f"{r['latency']['rtf']:.4f}"],
            ["computing for a chunk", f"{took['median']:.1f} ms, {took['p95']:.1f} at the 95th percentile, at most "
             f"{took['most']:.1f}"],
        ]  # fmt: skip
        told.append(sheet.table(rows))
    if "starts" in results:
        rows = [["ten seeds, 100 examples, 600 updates", "under way", "CER on these examples, least to most"]]
        for kind, r in sorted(results["starts"].items()):
            rows.append(
                [kind, f"{r['going']} of {len(r['cer'])}", f"{percent(min(r['cer']))} – {percent(max(r['cer']))}"]
            )
        told.append(sheet.table(rows))
    return "\n\n".join(told) + "\n"


def spent(r: dict[str, Any]) -> str:
    return f"{r['fit_seconds'] / 60:.1f} min"


def together(jobs: Sequence[tuple[str, str]], count: int, minutes: float | None) -> None:
    """The jobs, each in a process of one thread, so many at a time."""

    def one(found: tuple[str, str]) -> None:
        words = [sys.executable, __file__, "--job", *found, *([] if minutes is None else ["--minutes", str(minutes)])]
        done = subprocess.run(words, stdout=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True)
        with WRITING:
            keep(*found, json.loads(done.stdout.splitlines()[-1]))
        print(*found, "done", flush=True)

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(one, jobs))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=list(JOBS), choices=JOBS)
    parser.add_argument("--minutes", type=float, help="of learning, in place of each part's own")
    parser.add_argument("--jobs", type=int, default=2, help="models that learn at a time")
    parser.add_argument("--job", nargs=2, help=argparse.SUPPRESS)
    words = parser.parse_args()
    if words.job:
        torch.set_num_threads(1)
        print(json.dumps(job(*words.job, words.minutes)))
        return
    for split in SPLITS:  # once, before processes need them
        sets.lines(split)
    for _, apart in JOBS["joined"]:
        sets.joined(apart)
    timed = [found for part in words.only if part != "streaming" for found in JOBS[part]]
    together(timed, words.jobs, words.minutes)
    together(JOBS["streaming"] if "streaming" in words.only else [], 1, words.minutes)  # alone, for its times


if __name__ == "__main__":
    main()
