# Once, by an administrator, in place of the daemon:
rabbitmqadmin --vhost=/ declare exchange name=storyboard type=topic durable=true
rabbitmqadmin --vhost=/ declare queue name=storyboard_events durable=true
rabbitmqadmin --vhost=/ declare binding source=storyboard destination=storyboard_events routing_key='#'

# configure, write, read:
rabbitmqctl set_permissions -p / eventworker '^$' '^storyboard$' '^storyboard_events$'
rabbitmqctl set_permissions -p / relay '^$' '^storyboard$' '^$'
rabbitmqctl set_permissions -p / consumer '^$' '^$' '^storyboard_events$'
