"""Names of the entries in a timeline, as StoryBoard stores them."""

from __future__ import annotations

STORY_CREATED = "story_created"
STORY_DETAILS_CHANGED = "story_details_changed"
USER_COMMENT = "user_comment"
TAGS_ADDED = "tags_added"
TAGS_DELETED = "tags_deleted"
TASK_CREATED = "task_created"
TASK_ASSIGNEE_CHANGED = "task_assignee_changed"
TASK_DETAILS_CHANGED = "task_details_changed"
TASK_STATUS_CHANGED = "task_status_changed"
TASK_PRIORITY_CHANGED = "task_priority_changed"
TASK_DELETED = "task_deleted"
WORKLIST_CREATED = "worklist_created"
WORKLIST_DETAILS_CHANGED = "worklist_details_changed"
WORKLIST_PERMISSION_CREATED = "worklist_permission_created"
WORKLIST_PERMISSIONS_CHANGED = "worklist_permissions_changed"
WORKLIST_FILTERS_CHANGED = "worklist_filters_changed"
WORKLIST_CONTENTS_CHANGED = "worklist_contents_changed"
BOARD_CREATED = "board_created"
BOARD_DETAILS_CHANGED = "board_details_changed"
BOARD_PERMISSION_CREATED = "board_permission_created"
BOARD_PERMISSIONS_CHANGED = "board_permissions_changed"
BOARD_LANES_CHANGED = "board_lanes_changed"

ALL = tuple(value for name, value in list(globals().items()) if name.isupper())
