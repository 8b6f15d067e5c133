"""eventworker's publish-subscribe service for XMPP clients: an external component (XEP-0114).

::

    service       what the daemon loads; with side, its child process; and cli, the component alone
    component     connected as long as it runs; with options and configured
    stream        one connection; with parsing, events and skipping, which read what strangers write
    reception     stanzas that have arrived, in the order of each sender; to be read in this order:
      requests      an <iq/> and its answer; with request
      generic       what subscribers and publishers ask for; with paging and bodies
      owner         what owners ask for; with forms, and adhoc for what waits for them
      disco         what there is
      messages      what came back, and what owners have decided
      presence      who is there; with roll, who has gone while nobody was connected
    delivering    notifications on their way out; with notifications, what they look like
    rosters       what the service knows of rosters; with rosterlists, questions and privilege
    work          verbs of the service, in threads
    stanzas       elements as bytes; with markup, names and errors
"""
