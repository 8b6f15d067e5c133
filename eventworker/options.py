"""Every option of eventworker, as data.

The names in ``[notifications]`` and the switches in ``[DEFAULT]`` are StoryBoard's, with
StoryBoard's defaults, so that an existing ``storyboard.conf`` works unchanged.
"""

from __future__ import annotations

from oslo_config import cfg

from eventworker.secret import Secret

DEFAULT_OPTS: list[cfg.Opt] = [
    cfg.BoolOpt(
        "enable_notifications",
        default=False,
        help="The main switch. While it is False the daemon says so and ends with exit code 0.",
    ),
    cfg.IntOpt(
        "worker_count",
        default=5,
        min=1,
        max=512,
        help="Number of consumer processes. --worker-count on the command line wins.",
    ),
    cfg.IntOpt(
        "graceful_shutdown_timeout",
        default=60,
        min=0,
        help="Seconds that a stopping daemon gives its handlers to finish before it kills them; "
        "what is killed is delivered again. 0 waits without limit.",
    ),
    cfg.IntOpt(
        "max_consumer_rss",
        default=1024,
        min=0,
        help="Memory (RSS) in MiB at which a consumer process finishes what is in hand, ends and "
        "is replaced, so that a plugin that leaks takes down nobody. 0 is no limit.",
    ),
    cfg.IntOpt(
        "max_consumer_events",
        default=0,
        min=0,
        help="Number of events, or up to a tenth less, after which a consumer process does the "
        "same. 0 is no limit.",
    ),
]

LOGGING_OPTS: list[cfg.Opt] = [
    cfg.BoolOpt(
        "debug", default=False, mutable=True, help="Log at DEBUG instead of INFO. Read on SIGHUP."
    ),
    cfg.StrOpt("log_file", help="File to log to, relative to log_dir. Empty: standard error."),
    cfg.StrOpt("log_dir", help="Folder for log_file."),
    cfg.StrOpt(
        "log_config_append",
        help="A logging.config.fileConfig file. It wins over every other logging option.",
    ),
    cfg.StrOpt(
        "log_date_format", default="%Y-%m-%d %H:%M:%S", help="strftime format of the log's time."
    ),
    cfg.BoolOpt("use_json", default=False, help="One JSON object per log line instead of text."),
    cfg.ListOpt(
        "default_log_levels",
        default=["alembic=WARNING", "pika=CRITICAL", "sqlalchemy=WARNING", "stevedore=WARNING"],
        help="logger=LEVEL pairs for the libraries underneath.",
    ),
]

NOTIFICATIONS_OPTS: list[cfg.Opt] = [
    cfg.StrOpt(
        "driver",
        default="rabbit",
        choices=[
            ("rabbit", "events travel through RabbitMQ; a relay moves the outbox there"),
            ("sql", "the outbox table is the queue; no broker is needed"),
        ],
        help="What carries the events.",
    ),
    cfg.StrOpt("rabbit_host", default="localhost", help="Host name of the RabbitMQ broker."),
    cfg.PortOpt("rabbit_port", default=5672, help="TCP port of the broker (with TLS often 5671)."),
    cfg.StrOpt("rabbit_userid", default="storyboard", help="User at the broker."),
    cfg.Opt(
        "rabbit_password",
        type=Secret(),
        default="storyboard",
        secret=True,
        help="Password of that user. Here, as in every option that is a secret, file:PATH stands "
        "for the contents of a file, and env:NAME for an environment variable.",
    ),
    cfg.StrOpt("rabbit_virtual_host", default="/", help="Virtual host at the broker."),
    cfg.StrOpt(
        "rabbit_login_method",
        default="PLAIN",
        choices=["PLAIN", "AMQPLAIN", "EXTERNAL"],
        ignore_case=True,
        help="SASL mechanism. AMQPLAIN, the name in old StoryBoard files, is sent as PLAIN; "
        "EXTERNAL takes the user from the TLS client certificate.",
    ),
    cfg.StrOpt("rabbit_exchange_name", default="storyboard", help="Durable topic exchange."),
    cfg.StrOpt(
        "rabbit_event_queue_name",
        default="storyboard_events",
        help="Durable queue that the daemon consumes. An existing one is used as it is.",
    ),
    cfg.StrOpt(
        "rabbit_queue_type",
        default="classic",
        choices=["classic", "quorum"],
        help="Type of the queue where the daemon makes it. Choose quorum on a cluster, unless an "
        "old StoryBoard daemon declares the same queue.",
    ),
    cfg.ListOpt(
        "rabbit_binding_keys",
        default=["#"],
        help="Routing keys (resource names) that the queue is bound for. '#' is all of them.",
    ),
    cfg.StrOpt(
        "rabbit_application_name",
        default="storyboard",
        help="Name that our connections and messages carry.",
    ),
    cfg.StrOpt(
        "wire_format",
        default="storyboard",
        choices=[
            ("storyboard", "StoryBoard's body, which every reader of these events knows"),
            ("cloudevents", "CloudEvents 1.0, structured mode, JSON"),
        ],
        help="What is written to RabbitMQ. Both are read, whatever stands here; see wire-format in "
        "the documentation. A StoryBoard daemon on the same exchange reads storyboard only.",
    ),
    cfg.StrOpt(
        "cloudevents_source",
        default="urn:eventworker",
        regex=r"^[!#$&-;=?-Z_a-z~]+$",
        help="In CloudEvents that are written: the source, a URI, of events that have none.",
    ),
    cfg.StrOpt(
        "cloudevents_type_prefix",
        default="org.eventworker",
        regex=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$",
        help="In CloudEvents that are written: the beginning of the type, which goes on with "
        "resource and method, as in org.eventworker.story.post. Take your own domain, reversed.",
    ),
    cfg.IntOpt(
        "rabbit_connection_attempts",
        default=6,
        min=1,
        help="Tries in quick succession, with growing pauses. After them it is one every "
        "rabbit_retry_delay seconds; the daemon never gives up.",
    ),
    cfg.IntOpt(
        "rabbit_retry_delay",
        default=10,
        min=0,
        help="Longest pause in seconds between tries to connect.",
    ),
    cfg.IntOpt(
        "rabbit_heartbeat",
        default=30,
        min=0,
        help="AMQP heartbeat in seconds. A dead connection is found within twice as many and ten "
        "more; with 0, by the system's own limits only.",
    ),
    cfg.IntOpt(
        "rabbit_ack_timeout",
        default=1800,
        min=2,
        help="The broker's consumer_timeout in seconds (RabbitMQ: 30 minutes). Calls with an event "
        "that would not end within half of it are made from the backlog instead.",
    ),
    cfg.BoolOpt("rabbit_tls", default=False, help="Connect with TLS 1.2 or newer."),
    cfg.StrOpt("rabbit_tls_ca_file", help="CA bundle to trust. Empty: the system's."),
    cfg.StrOpt("rabbit_tls_cert_file", help="Client certificate, for EXTERNAL logins."),
    cfg.StrOpt("rabbit_tls_key_file", help="Private key of the client certificate."),
    cfg.StrOpt(
        "rabbit_tls_server_name",
        help="Name expected in the broker's certificate. Empty: rabbit_host. It is always checked.",
    ),
    cfg.IntOpt(
        "prefetch",
        default=0,
        min=0,
        max=2000,
        help="Deliveries that a consumer process may hold. One that waits for a minute behind a "
        "slow plugin is given back, for another process. 0: two groups if a plugin of the main "
        "lane shares its transactions, else 32.",
    ),
    cfg.IntOpt(
        "group_size",
        default=100,
        min=1,
        max=1000,
        help="Events that a plugin which declares itself transactional may be called with in one "
        "transaction, at the most. 1: each has a transaction of its own.",
    ),
    cfg.FloatOpt(
        "group_linger",
        default=0.0,
        min=0.0,
        max=1.0,
        help="Seconds that a delivery waits for others to make a group with. With 0 a group is "
        "what has arrived meanwhile, which costs no time.",
    ),
    cfg.IntOpt(
        "max_event_bytes",
        default=1024 * 1024,
        min=1024,
        max=2**24,
        help="Largest body in bytes; a larger one is quarantined.",
    ),
    cfg.FloatOpt(
        "poll_interval",
        default=1.0,
        min=0.01,
        help="Longest wait in seconds before the outbox is looked at without a wake-up. MariaDB "
        "gives none, so that there it is the pause between two looks.",
    ),
]

DATABASE_OPTS: list[cfg.Opt] = [
    cfg.Opt(
        "connection",
        type=Secret(url=True),
        secret=True,
        help="SQLAlchemy URL, for example postgresql+psycopg://USER:PASSWORD@HOST/DATABASE, "
        "mariadb+pymysql://USER:PASSWORD@HOST/DATABASE or "
        "sqlite:////var/lib/eventworker/eventworker.sqlite. file:PATH and env:NAME stand for the "
        "whole URL.",
    ),
    cfg.FloatOpt(
        "silence_timeout",
        default=30.0,
        min=2.0,
        help="Seconds until a connection is given up whose other end has gone without a word: a "
        "host without power, a firewall that swallows packets. A statement that takes long is not "
        "meant by it. What the URL says of connect_timeout and keepalives goes before it.",
    ),
]

PLUGINS_OPTS: list[cfg.Opt] = [
    cfg.ListOpt(
        "disabled",
        default=[],
        mutable=True,
        help="Names of plugins that are off, however they feel about it. Read on SIGHUP.",
    ),
    cfg.ListOpt(
        "only",
        default=[],
        mutable=True,
        help="If not empty: the only names that may be on, all others are off. Read on SIGHUP.",
    ),
    cfg.DictOpt(
        "resource_classes",
        default={},
        help="Resource name to mapped class, as user:package.module:Class. The class of 'user' "
        "makes the author that handle() is given; see WorkerTaskBase.resolve_resource_by_name.",
    ),
    cfg.FloatOpt(
        "registry_refresh",
        default=1.0,
        min=0.05,
        help="Seconds for which a consumer may rely on its copy of the list of plugins that "
        "events are owed to. A plugin that is new somewhere is owed everywhere after that time.",
    ),
    cfg.FloatOpt(
        "load_timeout",
        default=60.0,
        min=0.1,
        help="Seconds that importing a plugin, making it and asking whether it is enabled may take "
        "together. One that takes longer is broken, and its events wait.",
    ),
]

#: Options that every plugin has in its own group ``[plugin:NAME]``.
PLUGIN_OPTS: list[cfg.Opt] = [
    cfg.StrOpt(
        "lane",
        default="main",
        help="Processes that run this plugin. A name other than 'main' gives it processes of its "
        "own (see [lane:NAME]), so that it cannot slow the others down.",
    ),
    cfg.IntOpt(
        "max_attempts",
        default=10,
        min=1,
        max=1000,
        help="Calls with one event before it becomes a dead letter.",
    ),
    cfg.FloatOpt(
        "handler_timeout",
        default=300.0,
        min=0.1,
        help="Seconds that one call may take. It is then interrupted, and a little later its "
        "process is killed; either way the attempt has failed.",
    ),
    cfg.FloatOpt(
        "backoff", default=1.0, min=0.0, help="Seconds before the second attempt; then doubled."
    ),
    cfg.FloatOpt(
        "backoff_max", default=3600.0, min=0.0, help="Longest pause in seconds between attempts."
    ),
    cfg.StrOpt(
        "effect_lane",
        default="effects",
        help="Processes that perform what this plugin adds by effects.add(). They are always "
        "processes of their own, as many as [lane:NAME] says, also beside deliveries in a lane of "
        "the same name.",
    ),
    cfg.IntOpt(
        "effect_max_attempts",
        default=20,
        min=1,
        max=1000,
        help="Attempts to perform one effect before it becomes a dead letter. With the default "
        "pauses 20 of them take about nine hours.",
    ),
    cfg.FloatOpt(
        "effect_timeout",
        default=60.0,
        min=0.1,
        help="Seconds that performing one effect may take; what follows is as for handler_timeout.",
    ),
    cfg.StrOpt(
        "order_on_failure",
        default="park",
        choices=[
            ("park", "later events of a resource wait behind its dead letter for an operator"),
            ("skip", "they wait through its attempts, and go past it once it is dead"),
        ],
        help="What a plugin that is ordered does with the events behind one that fails.",
    ),
    cfg.FloatOpt(
        "order_gap_timeout",
        default=3600.0,
        min=0.0,
        help="Seconds that an ordered plugin's event waits for an earlier one that was given to "
        "the broker and has not come. It is then handled, with an error in the log.",
    ),
    cfg.ListOpt(
        "resources",
        default=[],
        help="The only resources whose events reach this plugin, of those that it wants: names "
        "such as story (with all that is below it) or story/comment. Empty: all that it wants.",
    ),
    cfg.ListOpt("methods", default=[], help="The same for HTTP methods, such as POST. Empty: all."),
    cfg.MultiStrOpt(
        "condition",
        default=[],
        help="What must hold of an event besides, as FIELD OPERATOR VALUE: status < 300, or "
        "resource_after.status == closed. One per line, each with its own condition =, and all "
        "of them have to hold.",
    ),
]

#: Options of ``[lane:NAME]``, for the lanes that plugins name.
LANE_OPTS: list[cfg.Opt] = [
    cfg.IntOpt("worker_count", default=1, min=1, max=512, help="Number of processes of this lane."),
]

RETENTION_OPTS: list[cfg.Opt] = [
    cfg.FloatOpt("outbox_days", default=3.0, min=0.0, help="Days that a sent event is kept."),
    cfg.FloatOpt(
        "inbox_days",
        default=14.0,
        min=0.0,
        help="Days that the memory of what is done is kept. It must outlast outbox_days plus the "
        "longest retry, or an event could be handled twice; the daemon refuses less.",
    ),
    cfg.FloatOpt(
        "dead_days",
        default=90.0,
        min=0.0,
        help="Days that dead letters, of effects too, quarantine and events that could never be "
        "published are kept.",
    ),
    cfg.FloatOpt(
        "interval", default=600.0, min=1.0, help="Seconds between two rounds of deleting."
    ),
]

OUTBOX_OPTS: list[cfg.Opt] = [
    cfg.BoolOpt(
        "relay",
        default=True,
        help="With driver = rabbit: keep a relay running that moves the outbox to the broker.",
    ),
    cfg.IntOpt(
        "relay_batch",
        default=500,
        min=1,
        max=5000,
        help="Events that the relay takes in one transaction. Two such batches at the most are on "
        "their way to the broker, and in memory, at a time.",
    ),
    cfg.FloatOpt(
        "reconcile_after",
        default=300.0,
        min=0.0,
        help="With driver = rabbit: seconds, beside half of rabbit_ack_timeout, after which an "
        "event that has left the queue without reaching its plugins is published again. 0 turns "
        "that off: what the broker loses is lost then.",
    ),
]

SECURITY_OPTS: list[cfg.Opt] = [
    cfg.BoolOpt(
        "require_tls",
        default=False,
        help="Refuse to start when the broker or the database is on another host and is not "
        "reached with TLS that checks the other end's certificate and name. False: warn of it.",
    ),
    cfg.Opt(
        "signing_keys",
        type=Secret(),
        secret=True,
        help="Keys for signatures of messages at the broker, as ID:KEY, ID:KEY with at least 32 "
        "characters in each KEY. The first one signs what is published; all of them are good for "
        "what is received. file:PATH and env:NAME stand for the whole list. Empty: nothing is "
        "signed.",
    ),
    cfg.StrOpt(
        "verify_signatures",
        default="off",
        choices=[
            ("off", "signatures are not looked at"),
            ("accept", "messages without a signature are taken, those with a wrong one are not"),
            ("require", "only messages with a good signature are taken"),
        ],
        help="What is asked of a message from the broker. What fails is kept in quarantine.",
    ),
]
