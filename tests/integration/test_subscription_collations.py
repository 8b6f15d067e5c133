"""MariaDB refuses to compare texts of two collations; numbers become text in the column's own."""

import pytest
from sqlalchemy import Engine, text

from tests.helpers.events import make_event
from tests.helpers.subscriptions import follow, handle, told, worker

TABLES = """
CREATE TABLE stories (id int, private boolean);
CREATE TABLE seers (story_id varchar(20), user_id varchar(20));
CREATE TABLE links (story_id int, what int);
CREATE TABLE gathers (what varchar(20), project_id int);
INSERT INTO stories VALUES (7, true);
INSERT INTO seers VALUES ('7', '1'), ('7', '2');
INSERT INTO links VALUES (7, 5);
INSERT INTO gathers VALUES ('5', 70)
"""
DROPPED = ["stories", "seers", "links", "gathers"]


@pytest.mark.parametrize("collation", ["utf8mb4_czech_ci", "utf8mb4_bin", "utf8mb3_unicode_ci"])
def test_an_application_may_have_another_collation(maria_engine: Engine, collation: str) -> None:
    charset = collation.partition("_")[0]
    with maria_engine.begin() as connection:
        for statement in TABLES.split(";"):
            more = f" CHARACTER SET {charset} COLLATE {collation}" if "CREATE" in statement else ""
            connection.execute(text(statement + more))
    follow(maria_engine, (1, "story", 7), (2, "project", 70), (3, "story", 7))
    rules = {
        "belongs_to": ["story:links(story_id,what):box", "box:gathers(what,project_id):project"],
        "private": ["story:stories(id,private)"],
        "visible_to": ["story:seers(story_id,user_id)"],
    }
    try:
        handle(worker(**rules), maria_engine, make_event())
    finally:
        with maria_engine.begin() as connection:
            connection.execute(text(f"DROP TABLE {', '.join(DROPPED)}"))
    assert told(maria_engine) == [("1", "story_created"), ("2", "story_created")]
