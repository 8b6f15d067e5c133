"""A canary is found wherever it is, and whoever finds it does not repeat it."""

import base64
import json
from pathlib import Path
from urllib.parse import quote

import pytest
from sqlalchemy import Column, LargeBinary, MetaData, Table, Text, create_engine, insert

from tests.helpers.canaries import Canaries


@pytest.mark.parametrize(
    "spell",
    [
        str,
        repr,
        json.dumps,
        quote,
        lambda secret: f"postgresql://user:{quote(secret, safe='')}@host/d",
        lambda secret: base64.b64encode(f"user:{secret}".encode()).decode(),
        lambda secret: base64.b64encode(f"us:{secret}".encode()).decode(),
        lambda secret: base64.b64encode(secret.encode()).decode(),
    ],
)
def test_it_is_found_in_every_spelling_and_not_repeated(spell: object) -> None:
    canaries = Canaries()
    secret = canaries.plant("password")
    with pytest.raises(AssertionError, match="the log tells the secret of password") as error:
        canaries.assert_none_in(f"a line\nand {spell(secret)} in it", "the log")  # type: ignore[operator]
    assert secret not in str(error.value)
    assert "and" in str(error.value)


def test_another_runs_canary_is_nobodys_secret_here() -> None:
    Canaries().assert_none_in(Canaries().plant("password"), "the log")


def test_it_is_found_in_files_and_tables(tmp_path: Path) -> None:
    canaries = Canaries()
    secret = canaries.plant("token")
    log = tmp_path / "log"
    log.write_text("good")
    canaries.assert_none_in_files(log)
    log.write_text(secret)
    with pytest.raises(AssertionError, match="token"):
        canaries.assert_none_in_files(log)

    url = f"sqlite:///{tmp_path}/tables.sqlite"
    table = Table("things", MetaData(), Column("text", Text), Column("bytes", LargeBinary))
    engine = create_engine(url)
    table.create(engine)
    canaries.assert_none_in_database(url)
    with engine.begin() as connection:
        connection.execute(insert(table).values(text="x", bytes=b"\xff" + secret.encode()))
    engine.dispose()
    with pytest.raises(AssertionError, match="table things tells the secret of token"):
        canaries.assert_none_in_database(url)
