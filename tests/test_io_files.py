"""What people ask to have written: whole or not at all, to a file, a link, a pipe or standard output."""

import os
import subprocess
import sys

import pytest

from gated._check import InputError
from gated.io import files

POSIX = pytest.mark.skipif(os.name == "nt", reason="no such files")


def refused(words, call, *args):
    """The call is refused, in words that hold each of these."""
    with pytest.raises(InputError) as error:
        call(*args)
    for word in words:
        assert word in str(error.value), str(error.value)


def test_a_file_appears_whole_at_the_end(tmp_path):
    """Until the block ends there is the old content under the name; then the new, and nothing is left beside it."""
    path = tmp_path / "x.csv"
    path.write_bytes(b"old")
    with files.create(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    files.write(str(path), b"again")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("x.csv", b"again")]


@pytest.mark.parametrize("old", [True, False])
def test_work_that_fails_leaves_what_was_there(tmp_path, old):
    """An error or Ctrl-C in the middle leaves the old file, or none."""
    path = tmp_path / "x"

    def fail(file, error):
        file.write(b"half")
        raise error

    if old:
        path.write_bytes(b"old")
    for error in (ZeroDivisionError, KeyboardInterrupt):
        with pytest.raises(error), files.create(path) as file:
            fail(file, error)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("x", b"old")] * old


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_disk_that_fails_loses_nothing_old(tmp_path, monkeypatch, step):
    """Whichever step towards the disk fails, the old file stands, for a file of one's own and of a run."""
    path = tmp_path / "x"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, step, lambda *_: 1 / 0)
    for write in (files.write, files.replace):
        with pytest.raises(ZeroDivisionError):
            write(path, b"new")
        assert path.read_bytes() == b"old"


@POSIX
def test_a_link_stays_a_link_and_a_file_keeps_its_mode(tmp_path):
    """The file that the link leads to is replaced, with the rights it had."""
    path, link = tmp_path / "real", tmp_path / "link"
    path.write_bytes(b"old")
    path.chmod(0o640)
    link.symlink_to(path)
    files.write(link, b"new")
    assert link.is_symlink()
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o640
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "real"]


@POSIX
def test_a_run_is_never_written_through_a_link(tmp_path):
    """`replace` puts a file where a link was, also where one was left under the name of the new file."""
    path, far = tmp_path / "config.json", tmp_path / "far"
    far.write_bytes(b"mine")
    for name in ("config.json", "config.json.new"):
        (tmp_path / name).symlink_to(far)
    files.replace(path, b"run")
    assert path.read_bytes() == b"run"
    assert not path.is_symlink()
    assert far.read_bytes() == b"mine"
    (tmp_path / "far.new").symlink_to(path)
    files.write(far, b"new")
    assert (far.read_bytes(), path.read_bytes()) == (b"new", b"run")


def test_a_dash_is_standard_output(capfdbinary):
    """ "-" is standard output, which is flushed, and stays open."""
    files.write("-", b"one\n")
    with files.create("-") as file:
        file.write(b"\xfftwo\n")
    assert capfdbinary.readouterr().out == b"one\n\xfftwo\n"


@POSIX
def test_a_pipe_stays_a_pipe(tmp_path):
    """A named pipe, and the names under which a shell passes one, are written to and not replaced."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    files.check(pipe)
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE) as reader:
        files.write(pipe, b"through")
        assert reader.communicate()[0] == b"through"
    assert pipe.is_fifo()
    code = "from gated.io import files; files.check('/dev/stdout'); files.write('/dev/stdout', b'out')"
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True).stdout == b"out"
    files.check(os.devnull)
    files.write(os.devnull, b"gone")


def test_what_cannot_be_written_is_refused_before(tmp_path):
    """A folder, a file in none, another ending; None and "-" are fine."""
    refused(["a file to write", "a folder"], files.check, tmp_path)
    refused(["a folder that exists", "Make"], files.check, tmp_path / "none" / "x")
    refused(["a folder that exists"], files.write, tmp_path / "none" / "x", b"")
    refused(["x.txt", "ends in .csv or .parquet"], files.check, tmp_path / "x.txt", (".csv", ".parquet"))
    for name in ("y.srt.gz", "y.txt.GZ", "y.xz", "y.zip"):  # it would be plain
        refused([name, "not packed", "Leave .", "out"], files.check, tmp_path / name)
        refused([name], files.write, tmp_path / name, b"")
    for fine in (None, "-", tmp_path / "x.CSV"):
        files.check(fine, (".csv",))


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="what root cannot write, nobody can forbid")
def test_a_folder_without_rights_is_refused_before(tmp_path):
    """The error names the folder."""
    tmp_path.chmod(0o500)
    refused([str(tmp_path), "no right"], files.check, tmp_path / "x")
    tmp_path.chmod(0o700)
