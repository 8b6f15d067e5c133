"""A mistake in the configuration is one line that says where it is."""

from pathlib import Path

import pytest

from eventworker.cli import conf as configuration
from eventworker.errors import ConfigError


def load(folder: Path, text: str) -> object:
    path = folder / "eventworker.conf"
    path.write_text(text)
    return configuration.load([str(path)])


def complaint(folder: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(folder, text)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_values_come_from_the_files_and_the_later_file_wins(tmp_path: Path) -> None:
    for name, count in (("a.conf", 2), ("b.conf", 3)):
        (tmp_path / name).write_text(f"[DEFAULT]\nworker_count = {count}\n")

    conf = configuration.load([str(tmp_path / "a.conf"), str(tmp_path / "b.conf")])

    assert conf.worker_count == 3


def test_a_folder_is_read_after_the_files(tmp_path: Path) -> None:
    (tmp_path / "a.conf").write_text("[DEFAULT]\nworker_count = 2\n")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "b.conf").write_text("[DEFAULT]\nworker_count = 3\n")

    conf = configuration.load([str(tmp_path / "a.conf")], [str(tmp_path / "more")])

    assert conf.worker_count == 3


def test_the_environment_wins_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OS_DATABASE__CONNECTION", "sqlite:///elsewhere")

    conf = load(tmp_path, "[database]\nconnection = sqlite:///here\n")

    assert conf.database.connection == "sqlite:///elsewhere"


def test_storyboards_own_file_is_found_where_there_is_none_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".probe").mkdir()
    (tmp_path / ".probe" / "probe.conf").write_text("[DEFAULT]\nworker_count = 4\n")

    conf = configuration.load(projects=("nowhere", "probe"))

    assert conf.worker_count == 4


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"there is no configuration file {tmp_path}/no.conf$"):
        configuration.load([str(tmp_path / "no.conf")])


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"there is no configuration folder {tmp_path}/no$"):
        configuration.load(config_dirs=[str(tmp_path / "no")])


def test_a_folder_in_place_of_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"{tmp_path} cannot be read: Is a directory$"):
        configuration.load([str(tmp_path)])


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "eventworker.conf").write_bytes(b"[DEFAULT]\nlog_file = \xff\xfe\n")
    with pytest.raises(ConfigError, match=r"eventworker.conf: a configuration file is UTF-8$"):
        configuration.load([str(tmp_path / "eventworker.conf")])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[DEFAULT]\nworker_count = many", "[DEFAULT] worker_count: "),
        ("[DEFAULT]\nworker_count = 0", "[DEFAULT] worker_count: "),
        ("[notifications]\ndriver = kafka", "[notifications] driver: "),
        ("[plugins]\nresource_classes = user", "[plugins] resource_classes: "),
    ],
)
def test_a_bad_value_is_told_with_file_and_option(tmp_path: Path, text: str, expected: str) -> None:
    assert complaint(tmp_path, text).startswith(f"{tmp_path}/eventworker.conf: {expected}")


def test_a_bad_value_of_the_environment_is_told_with_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OS_DEFAULT__WORKER_COUNT", "many")
    assert complaint(tmp_path, "").startswith("OS_DEFAULT__WORKER_COUNT: [DEFAULT] worker_count: ")


def test_a_line_that_cannot_be_parsed_is_told_without_its_text(tmp_path: Path) -> None:
    told = complaint(tmp_path, "[notifications]\nrabbit_password hunter2\n")
    assert told.startswith(f"{tmp_path}/eventworker.conf:2: ")
    assert "hunter2" not in told


def test_a_dollar_in_a_password_is_explained_without_the_password(tmp_path: Path) -> None:
    told = complaint(tmp_path, "[notifications]\nrabbit_password = one$two\n")
    assert (
        told
        == "[notifications] rabbit_password: a $ stands for another option; for itself write $$"
    )


def test_every_bad_value_is_found(tmp_path: Path) -> None:
    path = tmp_path / "eventworker.conf"
    path.write_text("[DEFAULT]\nworker_count = 0\n[notifications]\nrabbit_port = -1\n")

    errors = list(configuration.value_errors(configuration.read([str(path)])))

    assert [str(error).split(": ")[1] for error in errors] == [
        "[DEFAULT] worker_count",
        "[notifications] rabbit_port",
    ]
