"""Every check of what an overlay renders to."""

from __future__ import annotations

from . import knative, kserve_rules, policies, schemas
from .render import Document


def problems(documents: list[Document], context: list[Document]) -> list[str]:
    """Return every problem of the documents; `context` is what else is in their namespace, checked elsewhere."""
    together = documents + context
    found = [problem for document in documents for problem in schemas.problems(document)]
    if found:
        # As on a cluster: what its schema refuses reaches no admission rule.
        return found
    found += kserve_rules.problems(together)
    found += policies.problems(documents)
    found += policies.network_problems(together)
    try:
        services = list(knative.services(together))
    except KeyError as missing:
        return [*found, f"knative: no service can be made: {missing} is missing"]
    for service in services:
        found += schemas.problems(service)
        found += schemas.problems(knative.revision(service))
        found += knative.problems(service)
    return found
