-- As an administrator. tracker is the application's database, tracker_web its own user.
CREATE USER eventworker_owner@'HOST' IDENTIFIED BY 'PASSWORD';
CREATE USER eventworker_daemon@'HOST' IDENTIFIED BY 'PASSWORD';
CREATE USER eventworker_operator@'HOST' IDENTIFIED BY 'PASSWORD';

GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER, DROP, INDEX, REFERENCES
    ON tracker.* TO eventworker_owner@'HOST';

-- After "eventworker db upgrade", which the owner runs; again when a version brings new tables:
GRANT SELECT, INSERT, UPDATE, DELETE ON tracker.eventworker_anonymous TO eventworker_daemon@'HOST';
GRANT SELECT, INSERT, UPDATE, DELETE ON tracker.eventworker_cursor TO eventworker_daemon@'HOST';
GRANT SELECT, INSERT, UPDATE, DELETE ON tracker.eventworker_delivery TO eventworker_daemon@'HOST';
GRANT SELECT, INSERT, UPDATE, DELETE ON tracker.eventworker_effect TO eventworker_daemon@'HOST';
GRANT SELECT, INSERT, UPDATE, DELETE ON tracker.eventworker_effect_shared TO eventworker_daemon@'HOST';
GRANT SELECT, INSERT, UPDATE, DELETE ON tracker.eventworker_event TO eventworker_daemon@'HOST';
GRANT SELECT, INSERT, UPDATE, DELETE ON tracker.eventworker_inbox TO eventworker_daemon@'HOST';
GRANT SELECT, INSERT, UPDATE, DELETE ON tracker.eventworker_notification TO eventworker_daemon@'HOST';
GRANT SELECT, INSERT, UPDATE, DELETE ON tracker.eventworker_outbox TO eventworker_daemon@'HOST';
GRANT SELECT, INSERT, UPDATE, DELETE ON tracker.eventworker_plugin TO eventworker_daemon@'HOST';
GRANT SELECT, INSERT, UPDATE, DELETE ON tracker.eventworker_pubsub_affiliation TO eventworker_daemon@'HOST';
GRANT SELECT, INSERT, UPDATE, DELETE ON tracker.eventworker_pubsub_child TO eventworker_daemon@'HOST';
GRANT SELECT, INSERT, UPDATE, DELETE ON tracker.eventworker_pubsub_delivery TO eventworker_daemon@'HOST';
GRANT SELECT, INSERT, UPDATE, DELETE ON tracker.eventworker_pubsub_hook TO eventworker_daemon@'HOST';
GRANT SELECT, INSERT, UPDATE, DELETE ON tracker.eventworker_pubsub_hook_run TO eventworker_daemon@'HOST';
GRANT SELECT, INSERT, UPDATE, DELETE ON tracker.eventworker_pubsub_hook_session TO eventworker_daemon@'HOST';
GRANT SELECT, INSERT, UPDATE, DELETE ON tracker.eventworker_pubsub_item TO eventworker_daemon@'HOST';
GRANT SELECT, INSERT, UPDATE, DELETE ON tracker.eventworker_pubsub_listener TO eventworker_daemon@'HOST';
GRANT SELECT, INSERT, UPDATE, DELETE ON tracker.eventworker_pubsub_node TO eventworker_daemon@'HOST';
GRANT SELECT, INSERT, UPDATE, DELETE ON tracker.eventworker_pubsub_notice TO eventworker_daemon@'HOST';
GRANT SELECT, INSERT, UPDATE, DELETE ON tracker.eventworker_pubsub_presence TO eventworker_daemon@'HOST';
GRANT SELECT, INSERT, UPDATE, DELETE ON tracker.eventworker_pubsub_redirect TO eventworker_daemon@'HOST';
GRANT SELECT, INSERT, UPDATE, DELETE ON tracker.eventworker_pubsub_roster TO eventworker_daemon@'HOST';
GRANT SELECT, INSERT, UPDATE, DELETE ON tracker.eventworker_pubsub_roster_entry TO eventworker_daemon@'HOST';
GRANT SELECT, INSERT, UPDATE, DELETE ON tracker.eventworker_pubsub_roster_group TO eventworker_daemon@'HOST';
GRANT SELECT, INSERT, UPDATE, DELETE ON tracker.eventworker_pubsub_roster_host TO eventworker_daemon@'HOST';
GRANT SELECT, INSERT, UPDATE, DELETE ON tracker.eventworker_pubsub_subscription TO eventworker_daemon@'HOST';
GRANT SELECT, INSERT ON tracker.eventworker_pubsub_hook_audit TO eventworker_daemon@'HOST';
GRANT SELECT, INSERT, UPDATE, DELETE ON tracker.eventworker_quarantine TO eventworker_daemon@'HOST';
GRANT SELECT, INSERT, UPDATE, DELETE ON tracker.eventworker_stream TO eventworker_daemon@'HOST';
GRANT SELECT, INSERT, UPDATE, DELETE ON tracker.eventworker_subscription TO eventworker_daemon@'HOST';
GRANT SELECT ON tracker.eventworker_alembic_version TO eventworker_daemon@'HOST';

GRANT SELECT ON tracker.eventworker_alembic_version TO eventworker_operator@'HOST';
GRANT SELECT ON tracker.eventworker_anonymous TO eventworker_operator@'HOST';
GRANT SELECT ON tracker.eventworker_cursor TO eventworker_operator@'HOST';
GRANT SELECT ON tracker.eventworker_delivery TO eventworker_operator@'HOST';
GRANT SELECT ON tracker.eventworker_effect TO eventworker_operator@'HOST';
GRANT SELECT ON tracker.eventworker_effect_shared TO eventworker_operator@'HOST';
GRANT SELECT ON tracker.eventworker_event TO eventworker_operator@'HOST';
GRANT SELECT ON tracker.eventworker_inbox TO eventworker_operator@'HOST';
GRANT SELECT ON tracker.eventworker_outbox TO eventworker_operator@'HOST';
GRANT SELECT ON tracker.eventworker_plugin TO eventworker_operator@'HOST';
GRANT SELECT ON tracker.eventworker_pubsub_affiliation TO eventworker_operator@'HOST';
GRANT SELECT ON tracker.eventworker_pubsub_child TO eventworker_operator@'HOST';
GRANT SELECT ON tracker.eventworker_pubsub_delivery TO eventworker_operator@'HOST';
GRANT SELECT ON tracker.eventworker_pubsub_hook TO eventworker_operator@'HOST';
GRANT SELECT ON tracker.eventworker_pubsub_hook_audit TO eventworker_operator@'HOST';
GRANT SELECT ON tracker.eventworker_pubsub_hook_run TO eventworker_operator@'HOST';
GRANT SELECT ON tracker.eventworker_pubsub_hook_session TO eventworker_operator@'HOST';
GRANT SELECT ON tracker.eventworker_pubsub_item TO eventworker_operator@'HOST';
GRANT SELECT ON tracker.eventworker_pubsub_listener TO eventworker_operator@'HOST';
GRANT SELECT ON tracker.eventworker_pubsub_node TO eventworker_operator@'HOST';
GRANT SELECT ON tracker.eventworker_pubsub_notice TO eventworker_operator@'HOST';
GRANT SELECT ON tracker.eventworker_pubsub_presence TO eventworker_operator@'HOST';
GRANT SELECT ON tracker.eventworker_pubsub_redirect TO eventworker_operator@'HOST';
GRANT SELECT ON tracker.eventworker_pubsub_roster TO eventworker_operator@'HOST';
GRANT SELECT ON tracker.eventworker_pubsub_roster_entry TO eventworker_operator@'HOST';
GRANT SELECT ON tracker.eventworker_pubsub_roster_group TO eventworker_operator@'HOST';
GRANT SELECT ON tracker.eventworker_pubsub_roster_host TO eventworker_operator@'HOST';
GRANT SELECT ON tracker.eventworker_pubsub_subscription TO eventworker_operator@'HOST';
GRANT SELECT ON tracker.eventworker_quarantine TO eventworker_operator@'HOST';
GRANT SELECT ON tracker.eventworker_stream TO eventworker_operator@'HOST';

GRANT INSERT ON tracker.eventworker_outbox TO tracker_web@'HOST';
