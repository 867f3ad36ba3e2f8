"""A run folder: weights, config, metrics and the state of preprocessing, in safetensors and JSON, never pickle.

    runs/sales/
    ├── config.json            {"format": 1, "gated": "0.1.0", "task": "forecast", "config": {…}, "files": {…}}
    ├── model.safetensors      the weights
    ├── metrics.json           the metrics
    ├── learnt.json            the state of preprocessing, if any: names, levels, a vocabulary
    ├── arrays.safetensors     the same where it is numbers in bulk
    ├── history.csv            the training curve
    └── training.safetensors   the state of `train.fit`, for resuming

`config.json` names every other file of the run with its size and SHA-256, and is replaced in one step, so it decides
which run the folder holds: a save that was killed leaves the old run or the new one, and files that do not belong
together do not load. A folder from a stranger is safe to load: nothing is executed, no link is followed, and every size
is checked against what lies on the disk, and against a limit, before memory is taken for it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import math
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gated._check import InputError, one_of, refuse, want
from gated.io import files

__all__ = ["FORMAT", "Run", "build", "claim", "fill", "fingerprint", "load", "save", "stopped", "tensors"]

FORMAT = 1
CONFIG, MODEL, METRICS, EXTRAS, ARRAYS = (
    "config.json",
    "model.safetensors",
    "metrics.json",
    "learnt.json",
    "arrays.safetensors",
)
HISTORY, TRAINING, TENSORBOARD = "history.csv", "training.safetensors", "tensorboard"
PARTS = (MODEL, METRICS, EXTRAS, ARRAYS)  # the files that config.json answers for
JSON_LIMIT = 16 << 20  # bytes of one JSON file
HEADER_LIMIT = 16 << 20  # bytes of one safetensors header
DEPTH_LIMIT = 64  # JSON inside JSON
LIMIT = 16 << 30  # bytes of one file of tensors
CUT = "The file was cut short or damaged."
PLAIN = {str, int, float, bool, type(None)}
DRAWS = {name for name in vars(nn.init) if name[0] != "_" and name.endswith("_")}  # functions that set initial values

Module = TypeVar("Module", bound=nn.Module)


@dataclasses.dataclass(frozen=True)
class Run:
    """The contents of a run folder: `state` are the weights, for `fill`, `extras` JSON, `arrays` NumPy's."""

    task: str
    config: dict[str, Any]
    state: dict[str, Tensor]
    metrics: dict[str, Any]
    extras: dict[str, Any]
    arrays: dict[str, np.ndarray]
    gated: str  # the version that wrote it


# ---- saving


def save(
    folder: str | os.PathLike[str],
    config: Mapping[str, Any],
    model: nn.Module | Mapping[str, Tensor],
    *,
    task: str = "",
    metrics: Mapping[str, Any] | None = None,
    extras: Mapping[str, Any] | None = None,
    arrays: Mapping[str, np.ndarray | Tensor] | None = None,
    artefacts: Iterable[str] = (),
) -> None:
    """Write a run, over an older one if the folder holds one. artefacts: names of what may lie beside it later.

    Killed at any moment, or without room on the disk, it leaves the older run or this one, whole. `config`, `metrics`
    and `extras` are JSON; a metric that is NaN or infinite is written as null. Weights that are tied are written once.

    Raises `InputError` where the folder holds files that are no part of a run, or where something is not JSON.
    """
    folder = claim(folder, artefacts)
    state = tensors(model) if isinstance(model, nn.Module) else dict(model)
    parts = {MODEL: pack(state), METRICS: _dump(METRICS, _null_where_not_finite(dict(metrics or {})))}
    if extras is not None:
        parts[EXTRAS] = _dump(EXTRAS, dict(extras))
    if arrays is not None:
        parts[ARRAYS] = pack({name: torch.as_tensor(array) for name, array in arrays.items()})
    head = {
        "format": FORMAT,
        "gated": version("gated"),
        "task": task,
        "config": dict(config),
        "artefacts": list(artefacts),
        "files": {name: {"bytes": len(data), "sha256": _digest(data)} for name, data in parts.items()},
    }
    data = _dump(CONFIG, head)
    _settle(folder)
    try:
        for name, part in parts.items():
            files.put(folder / f"{name}.new", part)
        files.replace(folder / CONFIG, data)  # from here on the folder holds this run: `load` also reads name.new
    except OSError:
        for name in parts:
            (folder / f"{name}.new").unlink(missing_ok=True)
        raise
    for name in parts:
        os.replace(folder / f"{name}.new", folder / name)
    for name in set(PARTS) - set(parts):
        for stale in (name, f"{name}.new"):
            (folder / stale).unlink(missing_ok=True)
    files.flush(folder)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _settle(folder: Path) -> None:
    """Give the files of a save that was killed their names, lest the next one write over them."""
    for name in PARTS:
        new = folder / f"{name}.new"
        with contextlib.suppress(InputError, OSError, KeyError, TypeError):  # a damaged folder has no run to lose
            head = _parse(folder / CONFIG, _read(folder / CONFIG, JSON_LIMIT)) if os.path.lexists(new) else {}
            if head["files"][name]["sha256"] == _digest(_read(new, LIMIT)):
                os.replace(new, folder / name)


def claim(folder: str | os.PathLike[str], artefacts: Iterable[str] = ()) -> Path:
    """Make the folder, or refuse one that holds anything but a run and artefacts, these and those it lists."""
    folder = Path(folder)
    want(not folder.exists() or folder.is_dir(), f"run folder {folder}", "a folder", "a file", "Name another place.")
    folder.mkdir(parents=True, exist_ok=True)
    ours = {CONFIG, *PARTS, HISTORY, TRAINING, TENSORBOARD, *artefacts, *_artefacts(folder)}
    ours |= {f"{name}.new" for name in ours}
    foreign = sorted({entry.name for entry in folder.iterdir() if not entry.name.startswith(".")} - ours)
    shown = ", ".join(foreign[:3]) + (f" and {len(foreign) - 3} more" if len(foreign) > 3 else "")
    todo = "Name a new or empty folder, so that nothing of yours is overwritten."
    want(not foreign, f"run folder {folder}", "only files of a run", shown, todo)
    return folder


def _artefacts(folder: Path) -> list[str]:
    """What the run of a folder lists as lying beside it; nothing of a damaged one."""
    try:
        names = _parse(folder / CONFIG, _read(folder / CONFIG, JSON_LIMIT)).get("artefacts", [])
    except (InputError, OSError):
        return []
    return [name for name in cast(list[Any], names) if isinstance(name, str)] if isinstance(names, list) else []


def stopped(folder: Path) -> str:
    """The state of training that a folder holds, in words; empty where it holds none."""
    parts = (path for path in sorted(folder.glob(f"*/{TRAINING}")) if not path.with_name(CONFIG).exists())
    for path in (folder / TRAINING, *parts):
        if os.path.lexists(path):
            try:
                size = _size(path, LIMIT)
                with path.open("rb") as file:
                    note = _note(path, file, size)
            except (InputError, OSError):
                return "a fit that was stopped"
            step = note.get("step")
            return "a fit that was stopped" + (f" at step {step:,}" if isinstance(step, int) else "")
    return ""


def fingerprint(*parts: Any) -> str:
    """SHA-256 of the content of arrays, tensors and plain values in lists, tuples, dicts and dataclasses."""
    digest = hashlib.sha256()

    def add(part: Any) -> None:
        content: Any = part.detach().cpu().numpy() if isinstance(part, Tensor) else part
        kind = cast(Any, type(content))
        if kind is np.ndarray and content.dtype != object:
            digest.update(f"{content.dtype.str} {content.shape}".encode())
            digest.update(np.ascontiguousarray(content).reshape(-1).view(np.uint8).data)
        elif dataclasses.is_dataclass(kind):
            add([getattr(content, field.name) for field in dataclasses.fields(kind)])
        elif kind is dict:
            add([*content.items()])
        elif kind in (list, tuple, np.ndarray):
            plain = set(map(type, content)) <= PLAIN  # of these there may be millions
            digest.update((repr([*content]) if plain else f"[{len(content)}").encode("utf-8", "replace"))
            for item in () if plain else content:
                add(item)
        else:
            digest.update(repr(content).encode("utf-8", "replace"))

    add(parts)
    return digest.hexdigest()


def tensors(model: nn.Module) -> dict[str, Tensor]:
    """The model's parameters and buffers by name, tied ones once, under their first name."""
    first: dict[int, tuple[str, Tensor]] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        todo = "Keep extra state in the config."
        want(isinstance(tensor, Tensor), f"weights {name}", "a tensor", type(tensor).__name__, todo)
        first.setdefault(id(tensor), (name, tensor.detach()))
    return dict(first.values())


def pack(state: Mapping[str, Tensor], note: Mapping[str, Any] | None = None) -> bytes:
    """Tensors, and a note in JSON, as the bytes of one safetensors file."""
    copies = {name: tensor.detach().to("cpu").contiguous() for name, tensor in state.items()}
    memory: set[int] = set()
    for name, tensor in copies.items():  # two names for one memory are two tensors in a file
        if tensor.untyped_storage().data_ptr() in memory:
            copies[name] = tensor.clone()
        memory.add(tensor.untyped_storage().data_ptr())
    metadata = None if note is None else {"note": _dump("note", dict(note)).decode()}
    return safetensors.torch.save(copies, metadata)


def _dump(where: str, content: Any) -> bytes:
    try:
        data = (json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False) + "\n").encode()
    except (TypeError, ValueError, RecursionError) as error:
        refuse(where, "JSON (strings, finite numbers, lists, dicts)", str(error))
    want(len(data) <= JSON_LIMIT, where, f"at most {JSON_LIMIT} bytes of JSON", len(data), "Keep bulk in arrays=.")
    return data


def _null_where_not_finite(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {key: _null_where_not_finite(value) for key, value in cast(Mapping[Any, Any], content).items()}
    if isinstance(content, list | tuple):
        return [_null_where_not_finite(value) for value in cast(Iterable[Any], content)]
    return None if isinstance(content, float) and not math.isfinite(content) else content


# ---- loading


def load(folder: str | os.PathLike[str]) -> Run:
    """Read a run that `save` wrote.

    Raises `InputError` where the folder is no run, or a damaged, foreign or newer one, and says which.
    """
    folder = Path(folder)
    want(folder.is_dir(), f"run folder {folder}", "a folder", "a file" if folder.exists() else "nothing there")
    if not os.path.lexists(folder / CONFIG) and (got := stopped(folder)):
        refuse(f"run folder {folder}", "a run", got, "Its own command ends it with --resume (fit with resume=True).")
    head = _parse(folder / CONFIG, _read(folder / CONFIG, JSON_LIMIT))
    where = str(folder / CONFIG)
    writer, form = head.get("gated"), head.get("format", "")
    want(type(form) is int and "files" in head, where, "a run's config", "another JSON file")
    got = f"format {form} from gated {str(writer)[:40]}"
    want(form <= FORMAT, where, f"format {FORMAT} or older", got, "Upgrade gated.")
    want(form == FORMAT, where, f"format {FORMAT}", f"format {form}")
    kinds = {"gated": str, "task": str, "config": dict, "files": dict}
    for name, kind in kinds.items():
        want(isinstance(head.get(name), kind), f"{where}, {name}", f"a {kind.__name__}", repr(head.get(name))[:80])
    want({MODEL, METRICS} <= set(head["files"]), f"{where}, files", f"{MODEL} and {METRICS}", sorted(head["files"])[:5])
    parts = {name: _part(folder, name, entry) for name, entry in head["files"].items()}
    state, _ = unpack(folder / MODEL, parts[MODEL])
    arrays = unpack(folder / ARRAYS, parts[ARRAYS])[0] if ARRAYS in parts else {}
    return Run(
        task=head["task"],
        config=head["config"],
        state=state,
        metrics=_parse(folder / METRICS, parts[METRICS]),
        extras=_parse(folder / EXTRAS, parts[EXTRAS]) if EXTRAS in parts else {},
        arrays={name: _to_numpy(f"{folder / ARRAYS}, {name!r}", array) for name, array in arrays.items()},
        gated=head["gated"],
    )


def _to_numpy(where: str, array: Tensor) -> np.ndarray:
    try:
        return array.numpy()
    except TypeError:  # bfloat16 and floats of 8 bits
        refuse(where, "numbers of a type that NumPy has", array.dtype)


def build(make: Callable[[], Module], state: Mapping[str, Tensor]) -> Module:
    """The module of `make` with these weights, which are all of its tensors and not tied, in evaluation mode.

    It is made without memory and without initial values, and takes memory once the names, shapes and dtypes of the
    weights are its own: sizes from a stranger's file cost nothing.
    """
    try:
        with torch.device("meta"), _Undrawn():  # on the meta device tensors have shapes alone
            model = make()
    except (ArithmeticError, RuntimeError, TypeError) as error:
        got = str(error).partition("\n")[0][:120]
        refuse("weights", "sizes that a network can have", got, "Is the config the run's own?")
    _compare(tensors(model), state)
    model.to_empty(device="cpu")
    fill(model, state)
    return model.eval()


class _Undrawn(TorchFunctionMode):
    """Leaves out initial values: to draw them on the meta device torch imports its compiler, for seconds."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in DRAWS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def fill(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Copy weights into the model; names, shapes and dtypes must be the model's own, and every number finite."""
    own = tensors(model)
    _compare(own, state)
    for name, weight in state.items():
        finite = not weight.is_floating_point() or bool(torch.isfinite(weight).all())
        want(finite, f"weights {name}", "finite numbers", "NaN or infinity")
    with torch.no_grad():
        for name, mine in own.items():
            mine.copy_(state[name])


def _compare(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    """Refuse weights with other names, shapes or dtypes than a model's own."""
    missing, extra = sorted(set(own) - set(state)), sorted(set(state) - set(own))
    todo = "Is the config the run's own?"
    got = ", ".join(name[:80] for name in (missing or extra)[:3])
    want(not missing, "weights", f"{len(own)} tensors", f"none for {got}", todo)
    want(not extra, "weights", f"{len(own)} tensors", f"also {got}", todo)
    for name, mine in own.items():
        theirs = state[name]
        want(mine.shape == theirs.shape, f"weights {name}", f"shape {tuple(mine.shape)}", tuple(theirs.shape))
        want(mine.dtype == theirs.dtype, f"weights {name}", str(mine.dtype), theirs.dtype)


def _part(folder: Path, name: str, entry: Any) -> bytes:
    """A file that config.json names, from where the save got to: under its name, or still under name.new."""
    one_of(f"{folder / CONFIG}, files", name, PARTS)
    own = cast(dict[str, Any], entry) if isinstance(entry, dict) else {}
    size, digest = own.get("bytes"), own.get("sha256")
    fits = isinstance(size, int) and isinstance(digest, str)
    want(fits, f"{folder / CONFIG}, files, {name}", "bytes and sha256", repr(cast(object, entry))[:80])
    limit = JSON_LIMIT if name.endswith(".json") else LIMIT
    got: list[str] = []
    for path in (folder / name, folder / f"{name}.new"):
        if not os.path.lexists(path):
            continue
        if _size(path, limit) == size:
            data = _read(path, limit)
            if _digest(data) == digest:
                return data
            got.append(f"other content in {path.name}")
        else:
            got.append(f"{path.stat().st_size} bytes in {path.name}")
    todo = "The file was cut short, damaged, or belongs to another run."
    refuse(str(folder / name), f"the {size} bytes that {CONFIG} lists", " and ".join(got) or "no file", todo)


def _size(path: Path, limit: int) -> int:
    """The size of a regular file, no link, of at most `limit` bytes."""
    want(os.path.lexists(path), str(path), "a file", "nothing there", "Is this a run folder?")
    status = path.lstat()
    want(stat.S_ISREG(status.st_mode), str(path), "a regular file", "a link" if path.is_symlink() else "something else")
    want(status.st_size <= limit, str(path), f"at most {limit} bytes", f"{status.st_size}")
    return status.st_size


def _read(path: Path, limit: int) -> bytes:
    size = _size(path, limit)
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0))
    with open(handle, "rb") as file:
        data = file.read(size + 1)
    want(len(data) == size, str(path), f"{size} bytes", f"{len(data)}", "Is something writing to it?")
    return data


def unpack(path: Path, data: bytes | None = None) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and the note of a safetensors file."""
    data = _read(path, LIMIT) if data is None else data
    note = _note(path, io.BytesIO(data), len(data))
    try:
        return safetensors.torch.load(data), note
    except (safetensors.SafetensorError, ValueError, KeyError, RuntimeError) as error:
        refuse(str(path), "a safetensors file", str(error), CUT)


def _note(path: Path, file: Any, size: int) -> dict[str, Any]:
    """The note of a safetensors file, of which no more than the header is read."""
    length = int.from_bytes(file.read(8), "little")
    high = min(size - 8, HEADER_LIMIT)
    want(2 <= length <= high, str(path), f"a header of 2 to {max(2, high)} bytes", length, CUT)
    metadata: object = _parse(path, file.read(length)).get("__metadata__") or {}
    note = cast(dict[str, Any], metadata).get("note", "{}") if isinstance(metadata, dict) else None
    want(isinstance(note, str), str(path), "a safetensors file with a note", "another", CUT)
    return _parse(path, str(note).encode("utf-8", "replace"))


def _parse(path: Path, data: bytes) -> dict[str, Any]:
    """JSON from a stranger: one object, no name twice, finite numbers of 64 bits, not too deep."""
    where = str(path)

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        content = dict(pairs)
        if len(content) < len(pairs):
            twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
            refuse(where, "every name once", f"{twice[:80]!r} twice")
        return content

    def whole(text: str) -> int:
        fits = len(text) <= 20 and -(2**63) <= int(text) < 2**63
        want(fits, where, "integers of 64 bits", f"one of {len(text)} characters")
        return int(text)

    def real(text: str) -> float:
        want(math.isfinite(float(text)), where, "finite numbers", text[:40])
        return float(text)

    def absurd(text: str) -> NoReturn:
        refuse(where, "finite numbers", text)

    try:
        content = json.loads(
            data.decode(), object_pairs_hook=once, parse_int=whole, parse_float=real, parse_constant=absurd
        )
    except RecursionError:
        refuse(where, f"JSON of at most {DEPTH_LIMIT} levels", "a deeper one")
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        refuse(where, "JSON", str(error)[:120], "The file was cut short, damaged, or is not part of a run.")
    want(isinstance(content, dict), where, "a JSON object", type(content).__name__)
    depth, level = 0, [*content.values()]
    while level:
        depth += 1
        maps, lists = ([cast(Any, v) for v in level if isinstance(v, kind)] for kind in (dict, list))
        level = [part for one in (*(one.values() for one in maps), *lists) for part in one]
    want(depth <= DEPTH_LIMIT, where, f"JSON of at most {DEPTH_LIMIT} levels", "a deeper one")
    return content
