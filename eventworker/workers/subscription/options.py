"""Options of the group ``[plugin:subscription]``."""

from __future__ import annotations

from oslo_config import cfg

GROUP = "plugin:subscription"

OPTIONS: list[cfg.Opt] = [
    cfg.BoolOpt("enabled", default=False, help="Whether subscribers are notified."),
    cfg.BoolOpt(
        "notify_author",
        default=False,
        help="Whether the author of a change is notified of it, too.",
    ),
    cfg.MultiStrOpt(
        "belongs_to",
        default=[],
        help="What belongs to what, as CHILD:HOW:PARENT; the subscribers of the parent are told of "
        "the child's changes. HOW is a key of the child's images that holds the parent's id "
        "(task:story_id:story), or TABLE(CHILD_COLUMN,PARENT_COLUMN), which is followed from one "
        "resource to the next (project:project_group_mapping(project_id,project_group_id):"
        "project_group). One rule per line, each with its own belongs_to =.",
    ),
    cfg.StrOpt(
        "subscription_table",
        default="eventworker_subscription",
        help="Table of who follows what: eventworker's own, or one of the application's.",
    ),
    cfg.DictOpt(
        "subscription_columns",
        default={},
        help="Columns of that table, where they have other names: user_id, target_type, target_id "
        "as OURS:THEIRS.",
    ),
    cfg.StrOpt(
        "notification_table",
        default="eventworker_notification",
        help="Table that receives a row per event and receiver: eventworker's own, or one of the "
        "application's.",
    ),
    cfg.DictOpt(
        "notification_columns",
        default={},
        help="Columns of that table, where they have other names: subscriber_id, event_id, "
        "author_id, event_type, method, resource, resource_id, sub_resource, sub_resource_id, "
        "info, created_at as OURS:THEIRS. Columns of our names are found by themselves; one "
        "that is missing is not written, but subscriber_id has to be there. With event_id there "
        "is never a second row for the same event and receiver.",
    ),
]
