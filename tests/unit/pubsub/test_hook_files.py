"""Where a hook's file may lie, and whose it may be."""

import hashlib
import os
import threading
from pathlib import Path

import pytest

from eventworker.pubsub.hooks import files
from eventworker.pubsub.hooks.files import FileRefused, read

pytestmark = pytest.mark.row("HK-14")
SOURCE = "def hook(host, client, item): pass\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "hooks"
    made.mkdir(mode=0o755)
    (made / "good.py").write_text(SOURCE)
    (tmp_path / "outside.py").write_text(SOURCE)
    return made


def refusal(name: str | Path, folder: Path) -> str:
    with pytest.raises(FileRefused) as caught:
        read(str(name), [str(folder)])
    return str(caught.value)


def test_a_file_in_a_folder_of_hooks_is_read(folder: Path) -> None:
    source = read(str(folder / "good.py"), [str(folder)])
    assert (source.path, source.text) == (str(folder / "good.py"), SOURCE)
    assert source.sha256 == hashlib.sha256(SOURCE.encode()).hexdigest()
    assert source.mark == files.mark(source.path)


def test_a_relative_path_and_the_home_are_made_absolute(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert read("good.py", [str(folder)]).path == str(folder / "good.py")
    monkeypatch.setenv("HOME", str(folder))
    assert read("~/good.py", [str(folder)]).path == str(folder / "good.py")


@pytest.mark.parametrize(
    "name", ["../outside.py", "sub/../../outside.py", "../hooks2/x.py", "..", ".", ""]
)
def test_a_path_may_not_lead_out(folder: Path, name: str) -> None:
    (folder.parent / "hooks2").mkdir()
    (folder.parent / "hooks2/x.py").write_text(SOURCE)
    assert "is in none of [hooks] directories" in refusal(f"{folder}/{name}", folder)


@pytest.mark.parametrize("name", ["/etc/passwd", "/proc/self/environ", "/dev/zero", "/"])
def test_an_absolute_path_elsewhere_is_refused(folder: Path, name: str) -> None:
    assert "is in none of" in refusal(name, folder)


def test_a_link_out_is_refused(folder: Path) -> None:
    (folder / "link.py").symlink_to(folder.parent / "outside.py")
    (folder / "up").symlink_to(folder.parent)
    assert "is in none of" in refusal(folder / "link.py", folder)
    assert "is in none of" in refusal(folder / "up/outside.py", folder)


def test_a_link_within_is_followed_once(folder: Path) -> None:
    (folder / "link.py").symlink_to("good.py")
    assert read(str(folder / "link.py"), [str(folder)]).path == str(folder / "good.py")


def test_a_ring_of_links_is_refused(folder: Path) -> None:
    (folder / "a.py").symlink_to("b.py")
    (folder / "b.py").symlink_to("a.py")
    assert "cannot be read" in refusal(folder / "a.py", folder)


def test_what_is_no_regular_file_is_refused_without_waiting(folder: Path) -> None:
    os.mkfifo(folder / "fifo.py")
    assert "is no regular file" in refusal(folder / "fifo.py", folder)
    (folder / "folder.py").mkdir(mode=0o755)
    assert "is no regular file" in refusal(folder / "folder.py", folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_a_device_is_refused(folder: Path) -> None:
    os.mknod(folder / "null.py", 0o600 | 0o020000, os.makedev(1, 3))
    assert "regular file" in refusal(folder / "null.py", folder) or "cannot be read" in refusal(
        folder / "null.py", folder
    )


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o777])
def test_a_file_that_others_may_write_to_is_refused(folder: Path, mode: int) -> None:
    (folder / "good.py").chmod(mode)
    assert "others than its owner may write to" in refusal(folder / "good.py", folder)


@pytest.mark.parametrize("inner", [False, True])
def test_a_folder_that_others_may_write_to_is_refused(folder: Path, inner: bool) -> None:
    inside = folder / "sub"
    inside.mkdir(mode=0o755)
    (inside / "x.py").write_text(SOURCE)
    (inside if inner else folder).chmod(0o777)
    assert "others than root and this user may change" in refusal(inside / "x.py", folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_of_somebody_elses_is_refused(folder: Path) -> None:
    os.chown(folder / "good.py", 65534, 65534)
    assert "belongs neither to root nor to this user" in refusal(folder / "good.py", folder)


def test_names_are_taken_as_they_are(folder: Path) -> None:
    assert "NUL" in refusal(f"{folder}/good.py\x00.txt", folder)
    assert "cannot be read" in refusal(folder / "GOOD.PY", folder)
    assert "cannot be read" in refusal(folder / "gооd.py", folder)  # Cyrillic letters
    assert "cannot be read" in refusal(folder / "good.py ", folder)
    (folder / "über 😀.py").write_text(SOURCE)
    assert read(str(folder / "über 😀.py"), [str(folder)]).text == SOURCE


def test_what_is_no_text_or_too_much_of_it_is_refused(folder: Path) -> None:
    (folder / "bytes.py").write_bytes(b"\xff\xfe")
    assert "is not UTF-8" in refusal(folder / "bytes.py", folder)
    (folder / "large.py").write_bytes(b"#" * (files.MAX_SOURCE + 1))
    assert "has more than" in refusal(folder / "large.py", folder)


def test_without_a_folder_there_is_no_file(folder: Path) -> None:
    with pytest.raises(FileRefused, match="names no folder"):
        read(str(folder / "good.py"), [])


def test_a_link_that_goes_while_it_is_followed_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "x.py").symlink_to(folder / "y.py")

    def gone(path: str) -> str:
        raise FileNotFoundError(2, "No such file or directory", path)

    monkeypatch.setattr(os, "readlink", gone)
    with pytest.raises(FileRefused, match="cannot be read: "):
        read(str(folder / "x.py"), [str(folder)])


def test_a_swap_between_look_and_read_never_shows_what_lies_outside(folder: Path) -> None:
    """Somebody who may write there, as the service itself, changes file and folder for links as
    fast as he can."""
    secret = folder.parent / "secret.py"
    secret.write_text("SECRET")
    inner = folder / "inner"
    inner.mkdir(mode=0o755)
    (inner / "x.py").write_text(SOURCE)
    (folder.parent / "x.py").write_text("SECRET")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            os.symlink(secret, inner / "link")
            os.replace(inner / "link", inner / "x.py")
            (inner / "new").write_text(SOURCE)
            os.replace(inner / "new", inner / "x.py")
            os.rename(inner, folder / "aside")
            os.symlink(folder.parent, inner)
            os.unlink(inner)
            os.rename(folder / "aside", inner)

    thread = threading.Thread(target=swap)
    thread.start()
    seen = set()
    try:
        for _ in range(1500):
            try:
                seen.add(read(str(inner / "x.py"), [str(folder)]).text)
            except FileRefused:
                seen.add("refused")
    finally:
        stop.set()
        thread.join()
    assert "SECRET" not in seen
