"""Configuration objects made in the test."""

from oslo_config import cfg

from eventworker import config


def configuration(**groups: dict[str, object]) -> cfg.ConfigOpts:
    """A configuration of no file; `groups` are option values by group."""
    conf = cfg.ConfigOpts()
    config.register(conf)
    conf(args=[], default_config_files=[], default_config_dirs=[])
    for group, values in groups.items():
        for name, value in values.items():
            conf.set_override(name, value, group=None if group == "DEFAULT" else group)
    return conf
