"""The reviews of a simulated year: what the first model is trained on, what is sent, and what is only measured."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from components.datasets import icwsm2014
from components.evaluation.behaviour import load_cases
from feature_checks.contract import GROUP_ID, SOURCE, SPLIT, TEXT
from feature_checks.splits import assign_splits, without_held_out_texts
from pipelines.simulation.scenarios import ANCHOR, FAULTS, SCENARIOS, WEEKS

FIRST_SHARE: Final = 0.6
"""Share of the training reviews of the anchor domain that the first model is trained on; the others are sent."""


@dataclass(frozen=True)
class Population:
    """The reviews of one simulated year, with the contract's columns."""

    first: pd.DataFrame
    """The anchor domain's rows of the first training, with their splits."""
    traffic: Mapping[str, pd.DataFrame]
    """Rows that may be sent, by domain. The first model is trained on none of them."""
    measured: Mapping[str, pd.DataFrame]
    """Test rows by domain: macro-F1 is measured on them, and they are never sent."""


def load(cache: Path, domains: tuple[str, ...] = tuple(icwsm2014.DOMAINS)) -> pd.DataFrame:
    """Return all reviews with their splits, without training texts that also stand in validation or test."""
    return without_held_out_texts(assign_splits(icwsm2014.load(list(domains), cache)))


def divide(reviews: pd.DataFrame, seed: int) -> Population:
    """Divide the reviews for one year; the seed decides which training reviews are sent instead of trained on.

    Example: `divide(load(Path(".local/data")), seed=0).traffic["tweets"]`.
    """
    domains = {str(name): rows for name, rows in reviews.groupby(SOURCE, sort=False)}
    anchor = domains[ANCHOR]
    groups = np.random.default_rng(seed).permutation(anchor.loc[anchor[SPLIT] == "train", GROUP_ID].unique())
    first = set(groups[: round(FIRST_SHARE * len(groups))])
    sent = (anchor[SPLIT] == "train") & ~anchor[GROUP_ID].isin(first)
    traffic = {ANCHOR: anchor[sent]}
    traffic |= {name: rows[rows[SPLIT] != "test"] for name, rows in domains.items() if name != ANCHOR}
    return Population(
        first=anchor[~sent].reset_index(drop=True),
        traffic={name: rows.reset_index(drop=True) for name, rows in traffic.items()},
        measured={name: rows[rows[SPLIT] == "test"].reset_index(drop=True) for name, rows in domains.items()},
    )


def week_of(
    population: Population,
    mix: Mapping[str, float],
    rows: int,
    random: np.random.Generator,
    labelled: Set[str] = frozenset(),
) -> pd.DataFrame:
    """Return one week's texts in random order: whole reviews in random order up to the share of each domain.

    Texts that people have labelled are not sent again while there are others: customers do not repeat one another.
    """
    parts = []
    for domain, share in mix.items():
        frame, count = population.traffic[domain], round(share * rows)
        unlabelled = frame[~frame[TEXT].isin(labelled)]
        frame = unlabelled if len(unlabelled) >= count else frame
        order = random.permutation(frame[GROUP_ID].unique())
        position = frame[GROUP_ID].map({group: number for number, group in enumerate(order)})
        parts.append(frame.iloc[np.argsort(position.to_numpy(), kind="stable")[:count]])
    week = pd.concat(parts, ignore_index=True)
    return week.iloc[random.permutation(len(week))].reset_index(drop=True)


def with_fault(week: pd.DataFrame, fault: str) -> pd.DataFrame:
    """Return the week as a broken upstream sends it: an error page for every text, or texts cut after 15 characters."""
    if fault == "error_page":
        return week.assign(**{TEXT: "502 Bad Gateway: the upstream server returned an invalid response"})
    return week.assign(**{TEXT: week[TEXT].str[:15]}) if fault == "cut" else week


def texts(reviews: pd.DataFrame) -> list[str]:
    """Return every text that a year may hold: the reviews, those as faults leave them, and behavioural cases.

    Of a domain that no scenario sends, only the test rows are needed.
    """
    sent = {domain for scenario in SCENARIOS.values() for week in range(WEEKS) for domain in scenario.mix(week)}
    needed = reviews[reviews[SOURCE].isin(sent) | (reviews[SPLIT] == "test")]
    anchor = reviews[reviews[SOURCE] == ANCHOR]
    broken = [text for fault in FAULTS for text in with_fault(anchor, fault)[TEXT]]
    return [*needed[TEXT], *broken, *(text for case in load_cases() for text in case.texts())]
