-- As an administrator, in the application's database. tracker_web is the application's own user.
CREATE ROLE eventworker_owner LOGIN PASSWORD 'PASSWORD';
CREATE ROLE eventworker_daemon LOGIN PASSWORD 'PASSWORD';
CREATE ROLE eventworker_operator LOGIN PASSWORD 'PASSWORD';

GRANT USAGE, CREATE ON SCHEMA public TO eventworker_owner;
GRANT USAGE ON SCHEMA public TO eventworker_daemon, eventworker_operator, tracker_web;

-- For the tables that the owner makes, now and with a later version.
ALTER DEFAULT PRIVILEGES FOR ROLE eventworker_owner
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO eventworker_daemon;
ALTER DEFAULT PRIVILEGES FOR ROLE eventworker_owner
    GRANT USAGE ON SEQUENCES TO eventworker_daemon;
ALTER DEFAULT PRIVILEGES FOR ROLE eventworker_owner
    GRANT SELECT ON TABLES TO eventworker_operator;

-- After the first "eventworker db upgrade", which the owner runs:
REVOKE INSERT, UPDATE, DELETE ON eventworker_alembic_version FROM eventworker_daemon;
-- What was done with hooks is only added to.
REVOKE UPDATE, DELETE ON eventworker_pubsub_hook_audit FROM eventworker_daemon;
GRANT INSERT ON eventworker_outbox TO tracker_web;
