"""Why a notification has not come: the link of the chain that is broken, by its name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from sql_synthesizer_proof.drill.chain import Chain
from sql_synthesizer_proof.rules import Rule

SELECTOR = re.compile(r"\b[a-zA-Z_:][\w:]*\{[^}]*\}")
ERROR = re.compile(r"level=(?:error|warn|ERROR|WARN).*")


def diagnose_alert(chain: Chain, rule: Rule, addressees: Mapping[str, str]) -> Iterator[str]:
    """What is wrong between the fault and its notification, from Prometheus, Alertmanager and the inbox.

    ``addressees`` gives each kind of message the address that it should have gone to. Raises OSError.
    """
    name = rule["alert"]
    problems = list(_rule_problems(chain, name))
    yield from problems
    if not problems and (name, "firing") in {(a["labels"]["alertname"], a["state"]) for a in chain.active_alerts()}:
        yield from _delivery_problems(chain, name, addressees)


def _rule_problems(chain: Chain, name: str) -> Iterator[str]:
    """Why the rule does not fire."""
    groups = chain.prometheus.get("/api/v1/rules", type="alert")["data"]["groups"]
    loaded = [rule for group in groups for rule in group["rules"] if rule["name"] == name]
    if not loaded:
        yield f"rules: Prometheus has not loaded the alert {name}"
    for rule in loaded:
        if rule["health"] == "err":
            yield f"rules: {name} cannot be evaluated: {rule.get('lastError', '')}"
        elif rule["state"] == "inactive":
            yield from _expression_problems(chain, name, rule["query"])


def _expression_problems(chain: Chain, name: str, query: str) -> Iterator[str]:
    empty = [s for s in dict.fromkeys(SELECTOR.findall(query)) if chain.query_value(f"count({s})") is None]
    if empty:
        yield from (f"rules: {name} selects {selector}, which no series matches" for selector in empty)
    else:
        yield f"rules: the expression of {name} never became true: {' '.join(query.split())}"


def _delivery_problems(chain: Chain, name: str, addressees: Mapping[str, str]) -> Iterator[str]:
    """Why a firing alert is not notified."""
    known = chain.prometheus.get("/api/v1/alertmanagers")["data"]["activeAlertmanagers"]
    if not known:
        yield "prometheus.yml: alerting names no Alertmanager, so alerts are sent nowhere"
        return
    found = chain.alertmanager.get("/api/v2/alerts", filter=f'alertname="{name}"')
    if not found:
        yield f"Prometheus cannot hand {name} to Alertmanager at {known[0]['url']}"
        return
    for kind, address in addressees.items():
        ours = [m for m in chain.inbox.messages if m.kind == kind and re.search(rf"\b{name}\b", m.subject + m.text)]
        elsewhere = sorted({to for message in ours for to in message.to} - {address})
        if elsewhere and not any(address in message.to for message in ours):
            yield f"alertmanager/config.yml: the {kind} about {name} went to {', '.join(elsewhere)}, not to {address}"
    receivers = sorted({receiver["name"] for alert in found for receiver in alert["receivers"]})
    for line in _recent_errors(chain):
        yield f"Alertmanager could not notify {', '.join(receivers)}: {line}"


def _recent_errors(chain: Chain) -> list[str]:
    """The last different errors in Alertmanager's log."""
    text = chain.alertmanager.child.log.read_text(encoding="utf-8", errors="replace")
    reasons = [match[0] for match in re.finditer(r'err="?.*', "\n".join(ERROR.findall(text)))]
    return list(dict.fromkeys(reason[:300] for reason in reversed(reasons)))[:2]
