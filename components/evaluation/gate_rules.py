"""The rules of the gate, as pure functions of what was measured. The limits are those of thresholds.toml."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from components.results.gate_decision import Champion, Change, Evidence, Rule, ServedScore
from components.results.max_error import LimitResult
from feature_checks.thresholds import GateThresholds


def rules(
    candidate: ServedScore,
    baseline_macro_f1: float,
    champion: Champion | None,
    evidence: Evidence,
    limits: GateThresholds,
) -> list[Rule]:
    """Return every rule that applies, with its outcome."""
    found = [*_absolute(candidate, baseline_macro_f1, evidence, limits)]
    if champion:
        found += against_champion(candidate, champion, limits)
    best = evidence.best
    if best and not (champion and best.version == champion.version):
        found.append(
            _no_fall(best.change, f"the best champion so far, version {best.version}", "best champion", limits)
        )
    if champion and evidence.behaviour:
        found += _behaviour_loss(evidence.behaviour.candidate, evidence.behaviour.champion, limits)
    if champion:
        found += _slices(evidence, champion.version, limits)
        found += _whole_reviews(evidence, champion.version, limits)
        found += _new_domain(evidence, champion.version, limits)
    return found


def against_champion(candidate: ServedScore, champion: Champion, limits: GateThresholds) -> list[Rule]:
    """Return the rules on macro-F1 and on the F1 of each class against the champion."""
    found = [_no_fall(champion.change, f"champion version {champion.version}", "champion", limits)]
    for name, champion_f1 in champion.score.class_f1.items():
        loss = champion_f1 - candidate.class_f1[name]
        found.append(
            Rule(
                f"F1 of {name}",
                loss,
                limits.max_class_f1_loss,
                loss <= limits.max_class_f1_loss,
                f"F1 of {name} is {candidate.class_f1[name]:.3f}, {loss:.3f} below champion version "
                f"{champion.version}; a loss of at most {limits.max_class_f1_loss} is allowed",
            )
        )
    return found


def _absolute(
    candidate: ServedScore, baseline_macro_f1: float, evidence: Evidence, limits: GateThresholds
) -> Iterator[Rule]:
    needed = baseline_macro_f1 + limits.min_gain_over_baseline
    yield Rule(
        "baseline",
        candidate.macro_f1,
        needed,
        candidate.macro_f1 >= needed,
        f"macro-F1 is {candidate.macro_f1:.3f}; {needed:.3f} is needed, which is the baseline's "
        f"{baseline_macro_f1:.3f} plus {limits.min_gain_over_baseline}",
    )
    if (error := evidence.calibration_error) is not None:
        yield Rule(
            "calibration",
            error,
            limits.max_calibration_error,
            error <= limits.max_calibration_error,
            f"the expected calibration error is {error:.3f}; at most {limits.max_calibration_error} is allowed",
        )
    if evidence.behaviour:
        share = evidence.behaviour.candidate
        yield Rule(
            "behavioural cases",
            share,
            limits.min_behaviour_share,
            share >= limits.min_behaviour_share,
            f"{share:.0%} of the behavioural cases pass; {limits.min_behaviour_share:.0%} are needed",
        )
    yield from _accepted_errors(evidence.answers)


def _accepted_errors(answers: Sequence[LimitResult]) -> Iterator[Rule]:
    """Yield, for each accepted error that leaves answers, that the error among them is not above it beyond chance."""
    for limit in answers:
        if limit.error is None or limit.interval is None:
            continue
        yield Rule(
            f"max_error {limit.max_error:g}",
            limit.interval.low,
            limit.max_error,
            limit.interval.low <= limit.max_error,
            f"{limit.error:.3f} of the {limit.answers} answers for max_error={limit.max_error:g} are wrong, with a "
            f"95 % interval of {limit.interval}; its lower end may be at most {limit.max_error:g}",
        )


def _no_fall(change: Change, earlier: str, name: str, limits: GateThresholds) -> Rule:
    """Return the rule that macro-F1 on the test split does not fall far below an earlier model's."""
    small = change.macro_f1 >= limits.min_macro_f1_change
    sure = change.lower_bound > limits.min_change_bound
    # The figure that fails, or the tighter one.
    pairs = [(change.macro_f1, limits.min_macro_f1_change), (change.lower_bound, limits.min_change_bound)]
    measured, needed = min(pairs, key=lambda pair: pair[0] - pair[1])
    return Rule(
        f"macro-F1 against the {name}",
        measured,
        needed,
        small and sure,
        f"macro-F1 changes by {change.macro_f1:+.3f} from {earlier}, with a "
        f"{100 * change.level:.4g}% lower bound of {change.lower_bound:+.3f}; a change of at least "
        f"{limits.min_macro_f1_change} and a bound above {limits.min_change_bound} are needed",
    )


def _behaviour_loss(candidate: float, champion: float | None, limits: GateThresholds) -> Iterator[Rule]:
    if champion is None:
        return
    loss = champion - candidate
    yield Rule(
        "behavioural cases against the champion",
        loss,
        limits.max_behaviour_loss,
        loss <= limits.max_behaviour_loss,
        f"{candidate:.0%} of the behavioural cases pass, where the champion passes {champion:.0%}; a fall of at most "
        f"{limits.max_behaviour_loss:.0%} is allowed",
    )


def _slices(evidence: Evidence, version: str, limits: GateThresholds) -> Iterator[Rule]:
    for name, loss in evidence.slice_losses.items():
        passed = loss.macro_f1 <= limits.max_slice_loss or loss.lower_bound <= 0
        yield Rule(
            f"slice {name}",
            loss.macro_f1,
            limits.max_slice_loss,
            passed,
            f"macro-F1 on the slice {name} is {loss.macro_f1:.3f} below champion version {version}, and by more than "
            f"{loss.lower_bound:.3f} with {100 * loss.level:.4g}% confidence; a loss of at most "
            f"{limits.max_slice_loss}, or one within chance, is allowed",
        )


def _whole_reviews(evidence: Evidence, version: str, limits: GateThresholds) -> Iterator[Rule]:
    if evidence.document_f1 is None:
        return
    candidate, champion = evidence.document_f1
    loss = champion - candidate
    yield Rule(
        "whole reviews",
        loss,
        limits.max_document_f1_loss,
        loss <= limits.max_document_f1_loss,
        f"macro-F1 of whole reviews is {candidate:.3f}, {loss:.3f} below champion version {version}; a loss of at "
        f"most {limits.max_document_f1_loss} is allowed",
    )


def _new_domain(evidence: Evidence, version: str, limits: GateThresholds) -> Iterator[Rule]:
    if not evidence.feedback_rows:
        return
    rows = evidence.new_domain_rows
    yield Rule(
        "held-out feedback",
        rows,
        limits.min_new_domain_rows,
        rows >= limits.min_new_domain_rows,
        f"{rows} of {evidence.feedback_rows} labels from feedback are held out for the gate; "
        f"{limits.min_new_domain_rows} are needed to see a gain",
    )
    if gain := evidence.new_domain_gain:
        yield Rule(
            "gain on the new domain",
            gain.lower_bound,
            limits.min_new_domain_gain,
            gain.lower_bound > limits.min_new_domain_gain,
            f"the log-probability of {rows} held-out labels from feedback changes by {gain} from champion version "
            f"{version}; a bound above {limits.min_new_domain_gain} is needed",
        )
    if change := evidence.new_domain:
        yield Rule(
            "macro-F1 on the new domain",
            change.lower_bound,
            limits.min_new_domain_change_bound,
            change.lower_bound > limits.min_new_domain_change_bound,
            f"macro-F1 on {rows} held-out labels from feedback changes by {change} from champion version {version}; "
            f"a bound above {limits.min_new_domain_change_bound} is needed",
        )
