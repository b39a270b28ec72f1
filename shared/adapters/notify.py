"""The port Notifier as lines of the log, for wiring: what must reach a person begins with "incident:"."""

from __future__ import annotations

import logging

from shared.core.model import Alert, RunKey, Severity

log = logging.getLogger("tipoff.incident")


class LogNotifier:
    """ERROR for what a person must act on, WARNING for what can wait until morning, INFO for its end."""

    def notify(self, _: RunKey, incident: str, alert: Alert) -> bool:
        if alert.resolved:
            log.info("incident over: %s: %s", incident, alert.summary)
        elif alert.acknowledged:
            log.info("incident acknowledged: %s: %s", incident, alert.summary)
        else:
            level = logging.ERROR if alert.severity is Severity.PAGE else logging.WARNING
            log.log(level, "incident: %s: %s", incident, alert.summary)
        return True
