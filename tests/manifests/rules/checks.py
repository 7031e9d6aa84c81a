"""Every check of what a deployment renders to."""

from __future__ import annotations

from ..render import Document
from . import cluster_rules, knative, kserve_rules, network_rules, policies, schemas, selectors, standard


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
    found += cluster_rules.problems(together)
    try:
        services, workloads = list(knative.services(together)), list(standard.workloads(together))
    except KeyError as missing:
        return [*found, f"no service can be made: {missing} is missing"]
    for service in services:
        found += schemas.problems(service)
        found += schemas.problems(knative.revision(service))
        found += knative.problems(service)
    found += [problem for workload in workloads for problem in schemas.problems(workload)]
    found += standard.problems(together)
    found += selectors.problems(together)
    found += network_rules.problems(together)
    return found
