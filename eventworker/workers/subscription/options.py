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
        "project_group). COLUMN=VALUE after the columns takes only some of the table's rows. One "
        "rule per line, each with its own belongs_to =.",
    ),
    cfg.MultiStrOpt(
        "part_of",
        default=[],
        help="The same as belongs_to, and more: whoever may not see the parent is not told of the "
        "child, whatever they follow. One rule per line.",
    ),
    cfg.MultiStrOpt(
        "private",
        default=[],
        help="Which resources are private, as KIND:TABLE(ID_COLUMN,FLAG_COLUMN), such as "
        "story:stories(id,private); FLAG_COLUMN=VALUE are those whose column holds that value. "
        "Only those of visible_to are told of them. A key after that "
        "(:story_private) is where the images of its parts say it, for when all is deleted "
        "together. One rule per line, one per kind.",
    ),
    cfg.MultiStrOpt(
        "visible_to",
        default=[],
        help="Who may see what is private, as KIND:TABLE(ID_COLUMN,USER_COLUMN), or from table to "
        "table: story:story_teams(story_id,team_id):team_members(team_id,user_id). A key of the "
        "images in front, or alone (story:creator_id), counts once the resource's row is gone. "
        "Several rules for a kind permit more users. Without a rule in private all of the kind is "
        "private. One rule per line.",
    ),
    cfg.MultiStrOpt(
        "preference",
        default=[],
        help="A switch of each user for a kind, as KIND:TABLE(USER_COLUMN,SWITCH_COLUMN):DEFAULT, "
        "such as worklist:user_preferences(user_id,value,key=worklists):no. DEFAULT is yes or no "
        "(yes if it is left out), for users without a row. One rule per line.",
    ),
    cfg.MultiStrOpt(
        "details",
        default=[],
        help="What info says beside the title, as KIND:NAME=KEY, from a key of the images, or "
        "KIND:NAME=TABLE(ID_COLUMN,COLUMN), such as story:story_title=stories(id,title). The key "
        "id is the resource's own. Of several rules for a name the first that finds something "
        "decides. At most 1000 characters each. One rule per line.",
    ),
    cfg.MultiStrOpt(
        "event_types",
        default=[
            "POST project_group/project:project_added",
            "PUT project_group/project:project_added",
            "DELETE project_group/project:project_removed",
        ],
        help="Words for event_type, as METHOD RESOURCE:WORD or METHOD RESOURCE/SUB_RESOURCE:WORD. "
        "* is every method, {KEY} as the word takes it from that key of the image, and no word "
        "means that nobody is told. Without a rule it is RESOURCE_created, RESOURCE_changed or "
        "RESOURCE_deleted. One rule per line; the first that fits decides.",
    ),
    cfg.ListOpt(
        "deleted_with_parent",
        default=[],
        help="Sub-resources that exist only below their resource, such as comment: when one is "
        "deleted, its subscriptions are removed. Others are only taken out of the resource, as a "
        "project is of a group.",
    ),
    cfg.StrOpt(
        "event_type_by",
        help="Function that has the last word on event_type, as package.module:function; called "
        "with the event and the word, it returns another one, or None for nobody is told.",
    ),
    cfg.StrOpt(
        "info_by",
        help="Function that has the last word on info, as package.module:function; called with the "
        "event and the dict, it returns another one.",
    ),
    cfg.StrOpt(
        "receivers_by",
        help="Function that chooses the receivers, as package.module:function; called with the "
        "event and the SELECT of those who follow (None if nobody can), it returns another SELECT "
        "with the column user_id, or None. Who may see what and preference hold for them, too.",
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
