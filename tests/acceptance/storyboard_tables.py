"""Run inside the installation: StoryBoard's tables on a database, with a story people follow."""

import json
import sys

from sqlalchemy import create_engine
from sqlalchemy.orm import Session
from storyboard.db import models

engine = create_engine(sys.argv[1])
models.Base.metadata.create_all(engine)
with Session(engine) as session, session.begin():
    session.add(models.StoryType(id=1, name="Bugs"))
    users = [
        models.User(full_name=name, email=f"{name}@example.org", openid=f"https://{name}.example")
        for name in ("ann", "bob", "eve", "joe")
    ]
    story = models.Story(title="The roof leaks", story_type_id=1)
    session.add_all([*users, story])
    session.flush()
    ann, bob, eve, _ = users
    session.add_all(
        models.Subscription(user_id=user.id, target_type="story", target_id=story.id)
        for user in (bob, eve)
    )
    event = models.TimeLineEvent(
        story_id=story.id,
        author_id=ann.id,
        event_type="story_details_changed",
        event_info=json.dumps({"title": "Das Dach hat ein Löch"}),
    )
    session.add(event)
    session.flush()
    known = {"author": ann.id, "subscribers": [bob.id, eve.id], "event": event.id}
    sys.stdout.write(json.dumps(known))
