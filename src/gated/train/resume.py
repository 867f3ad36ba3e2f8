"""Saving and restoring the state of a run: one file, always of one step.

No generator is saved: `loop` seeds from the seed and the number of the batch, and `data` orders examples by them.
"""

from __future__ import annotations

import dataclasses
import json
import math
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gated import checkpoint, trees
from gated._check import want, within
from gated.io import files
from gated.train.run import Best, Run, to_csv

# The numbers of a run, by their names in the file.
COUNTS = {
    "step": "step", "clock": "clock", "pace": "step_seconds", "evaluating": "eval_seconds", "waited": "stale",
    "evaluated": "eval_step",
}  # fmt: skip
FREE = {"time_limit", "checkpoint_every", "tensorboard", "watch"}  # options that do not change what a step does
OTHER = "Give what the fit was begun with, or start another fit: in another folder, or there with overwrite."
SUMS = ("loss", "grad_norm", "clipped")  # columns that every row has, and whose means begin again with each


def save(run: Run) -> None:
    """Write all that changes; only the first process writes."""
    names = {id(p): name for name, p in run.model.named_parameters()}
    state = {f"model.{name}": tensor for name, tensor in checkpoint.tensors(run.model).items()}
    state |= {f"{key}.{names[id(p)]}": t for p, moments in run.optimizer.state.items() for key, t in moments.items()}
    state |= {f"ema.{names[id(p)]}": average for p, average in zip(run.params, run.ema, strict=False)}
    state |= {f"best.{i}.{name}": t for i, best in enumerate(run.best) for name, t in best.weights.items()}
    outline = [_outline(tree, f"carry.{a}", state) for a, tree in enumerate(_gather(run))]
    columns = list(dict.fromkeys(name for row in run.rows for name in row))
    table = [[row.get(name, math.nan) for name in columns] for row in run.rows]
    state["rows"] = torch.tensor(table, dtype=torch.float64).reshape(len(run.rows), len(columns))
    note: dict[str, Any] = {name: getattr(run, field) for name, field in COUNTS.items()}
    sums = {name: run.sums.get(name, (0, 0.0)) for name in SUMS}
    note |= {"sums": [sums["loss"][0], *(total for _, total in sums.values())]}
    note |= {"watched": {name: pair for name, pair in run.sums.items() if name not in SUMS}}
    note |= {"config": dataclasses.asdict(run.config), "carry": outline, "columns": columns}
    note |= {"best": [[best.value, best.step] for best in run.best], "origin": run.origin}
    if run.folder is not None:
        if run.keeps_history:
            files.replace(run.folder / checkpoint.HISTORY, to_csv(run.rows))
        files.replace(run.folder / checkpoint.TRAINING, checkpoint.pack(state, note))
    if run.fabric.world_size > 1:
        run.fabric.barrier()  # none goes on to read what the first is still writing


def restore(run: Run, path: Path) -> None:
    """Bring the run back to the step that was saved; nothing in the file is trusted."""
    state, note = checkpoint.unpack(path)
    where, names = str(path), {name: p for name, p in run.model.named_parameters() if p.requires_grad}
    _same_origin(path, note.get("origin", {}), json.loads(json.dumps(run.origin)))
    _same_config(where, note.get("config"), json.loads(json.dumps(dataclasses.asdict(run.config))))

    def take(name: str, like: Tensor) -> Tensor:
        got = state.pop(name, None)
        fits = got is not None and got.shape == like.shape and got.dtype == like.dtype
        expected, actual = (f"{t.dtype} of shape {tuple(t.shape)}" if t is not None else "none" for t in (like, got))
        want(fits, f"{where}, {name}", expected, actual, "Is it another model's run?")
        return torch.empty_like(like).copy_(got)  # pyright: ignore  # laid out as `like`, as fused steps read memory

    own = checkpoint.tensors(run.model)
    checkpoint.fill(run.model, {name: take(f"model.{name}", tensor) for name, tensor in own.items()})
    for name, p in names.items():
        if f"exp_avg.{name}" in state:
            moments = {key: take(f"{key}.{name}", p) for key in ("exp_avg", "exp_avg_sq")}
            run.optimizer.state[p] = {"step": take(f"step.{name}", torch.zeros((), device=p.device)), **moments}
    run.ema = [take(f"ema.{name}", p) for name, p in names.items()] if run.config.ema else []
    for name, field in COUNTS.items():
        within(f"{where}, {name}", note.get(name, -1), 0, 2**53)
        setattr(run, field, note[name])
    steps, *totals = _numbers(where, "sums", note.get("sums"), len(SUMS) + 1)
    run.sums = {name: [steps, total] for name, total in zip(SUMS, totals, strict=True)}
    watched = note.get("watched", {})
    want(isinstance(watched, dict), f"{where}, watched", "steps and sum by column", repr(watched)[:80])
    for name, pair in watched.items():
        within(f"{where}, watched {name}", _numbers(where, f"watched {name}", pair, 2)[0], 0, 2**53)
        if run.config.watch:  # else the mean would lack the steps that are not observed
            run.sums[name if ":" in name else f"grad_norm:{name}"] = pair  # the first format had layers alone
    bests = note.get("best", ())
    want(isinstance(bests, list) and len(bests) <= run.config.best_k, f"{where}, best", "a list", repr(bests)[:80])
    for i, best in enumerate(bests):
        value, step = _numbers(where, "best", best, 2)
        weights = {name: take(f"best.{i}.{name}", tensor) for name, tensor in own.items()}
        run.best.append(Best(value, int(step), weights))
    outlines, ranks = note.get("carry", ()), run.fabric.world_size
    slots = len(run.carry) * ranks
    fits = isinstance(outlines, list) and len(outlines) == slots
    todo = "Resume with the same number of processes."
    want(fits, f"{where}, carry", f"{slots} states", len(outlines) if isinstance(outlines, list) else "none", todo)
    carried = [_rebuild(where, outline, f"carry.{i}", state) for i, outline in enumerate(outlines)]
    run.carry = [
        trees.map(lambda t: t.to(run.fabric.device), tree) for tree in carried[run.fabric.global_rank :: ranks]
    ]
    run.rows = _rows(where, note.get("columns"), state.pop("rows", None))
    want(not state, where, "the tensors of a training", f"also {', '.join(sorted(state)[:3])}")


def _same_origin(path: Path, theirs: Any, ours: dict[str, Any]) -> None:
    """Refuse other options and other data than the stopped fit's; older versions stored neither."""
    fits = isinstance(theirs, dict) and isinstance(theirs.get("data"), str) and isinstance(theirs.get("options"), dict)
    want(fits or theirs == {}, f"{path}, origin", "data and options", repr(theirs)[:80])
    if not theirs or not ours:
        return
    options, mine, where = theirs["options"], ours["options"], f"resume in {path.parent}"
    _same(where, options, {name: mine[name] for name in mine if name in options})
    got = "other data than it was begun with"
    want(theirs["data"] == ours["data"], where, "the data of the stopped fit", got, OTHER)


def _same_config(where: str, theirs: Any, ours: dict[str, Any]) -> None:
    want(isinstance(theirs, dict), where, "a training's config", repr(theirs)[:80])
    _same(f"resume from {where}", theirs, ours)


def _same(where: str, theirs: dict[str, Any], ours: dict[str, Any]) -> None:
    differ = [name for name in ours if name not in FREE and theirs.get(name) != ours[name]]
    expected, got = (", ".join(f"{name} {c.get(name)!r}" for name in differ) for c in (theirs, ours))
    want(not differ, where, expected, got, OTHER)


def _numbers(where: str, name: str, values: Any, count: int) -> list[int | float]:
    fits = isinstance(values, list) and len(values) == count and all(type(v) in (int, float) for v in values)
    want(fits, f"{where}, {name}", f"{count} numbers", repr(values)[:80])
    return values


def _rows(where: str, columns: Any, table: Any) -> list[dict[str, int | float]]:
    fits = isinstance(columns, list) and isinstance(table, Tensor) and table.shape[1:] == (len(columns),)
    want(fits, f"{where}, rows", "a table and its columns", repr(columns)[:80])
    rows = [{str(n): v for n, v in zip(columns, row, strict=True) if not math.isnan(v)} for row in table.tolist()]
    return [{**row, "step": int(row.get("step", 0))} for row in rows]


# ---- the carried state


def _gather(run: Run) -> list[Any]:
    """The states of all processes, in the order of their micro-batches."""
    ranks = run.fabric.world_size
    if ranks == 1:
        return run.carry
    with warnings.catch_warnings():  # Fabric's gather warns of torch's plans with it
        warnings.simplefilter("ignore")
        stacked = [trees.map(run.fabric.all_gather, tree) for tree in run.carry]  # with an axis of processes in front
    return [trees.map(lambda t, r=r: t[r], tree) for tree in stacked for r in range(ranks)]


def _outline(tree: Any, name: str, state: dict[str, Tensor]) -> Any:
    """Put the tree's tensors into `state` and return its structure as JSON."""
    if isinstance(tree, Tensor):
        state[name] = tree
        return "tensor"
    if isinstance(tree, dict):
        return {"dict": {key: _outline(value, f"{name}.{key}", state) for key, value in tree.items()}}
    if type(tree) in (tuple, list):
        return {type(tree).__name__: [_outline(value, f"{name}.{i}", state) for i, value in enumerate(tree)]}
    want(tree is None, "loss with carry, its state", "tensors in tuples, lists and dicts", type(tree).__name__)
    return None


def _rebuild(where: str, outline: Any, name: str, state: dict[str, Tensor]) -> Any:
    if outline is None:
        return None
    if outline == "tensor" and name in state:
        return state.pop(name)
    kind, content = next(iter(outline.items())) if isinstance(outline, dict) and len(outline) == 1 else ("", ())
    if kind == "dict" and isinstance(content, dict):
        return {key: _rebuild(where, value, f"{name}.{key}", state) for key, value in content.items()}
    want(kind in ("tuple", "list") and isinstance(content, list), f"{where}, {name}", "a state", repr(outline)[:80])
    values = [_rebuild(where, value, f"{name}.{i}", state) for i, value in enumerate(content)]
    return tuple(values) if kind == "tuple" else values
