"""How hypothesis looks for examples."""

from hypothesis import HealthCheck, settings


def take_time() -> None:
    """Let an example take as long as it takes: that says who else uses the machine, and no more.

    With the profile `same`, which `make pytest` uses, the same examples are tried each time, so
    that a run says something about the change it is made for. Any other run of a test looks for new
    ones.
    """
    slow = [HealthCheck.too_slow]
    settings.register_profile("patient", deadline=None, suppress_health_check=slow)
    settings.register_profile("same", settings.get_profile("patient"), derandomize=True)
    settings.load_profile("patient")
