"""The label store: labels accumulate, late ones included, and the last label of a text counts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from feature_checks.prediction_record import FEEDBACK, HASH_PREFIX
from feature_checks.splits import group_of_text, split_of_group
from monitoring.history import History
from monitoring.steps import store_labels
from monitoring.windows.label_store import LabelStore, training_rows
from monitoring.windows.log_window import from_log
from monitoring.windows.window import Window

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
EARLIER = "2026-11-21T11:00:00.000+00:00"
Row = Callable[..., dict[str, Any]]
WriteLog = Callable[..., str]


def feedback(request: str, label: str, time: str = "2026-11-22T11:30:00.000+00:00", user: str = "") -> dict[str, Any]:
    return {"request_id": request, "item": 0, "timestamp": time, "label": label, "user_hash": user}


def read(log: str, end: datetime = NOON) -> Window:
    return from_log(log, max_rows=10, end=end, hours=24)


@pytest.mark.parametrize(("bucket", "split"), [("train", "train"), ("validation", "test"), ("test", "test")])
def test_every_label_that_is_not_trained_on_is_the_gates(bucket: str, split: str, log_row: Row) -> None:
    """With validation and test apart, the gate saw a fifth of the labels, too few to tell a gain from chance."""
    text = next(text for text in map(str, range(100)) if split_of_group(group_of_text(text)) == bucket)
    labelled = pd.DataFrame([log_row("a", text=text, true_label="neutral", row_id="feedback:a:0", labelled_by="ann")])
    assert training_rows(labelled)["split"].tolist() == [split]


@pytest.fixture
def store(tmp_path: Path) -> LabelStore:
    return LabelStore(str(tmp_path / "new" / "labelled.parquet"))


def test_labelled_rows_become_training_rows_and_nothing_else(
    log_row: Row, write_log: WriteLog, store: LabelStore
) -> None:
    write_log([feedback("a", "neutral", user="ann")], kind=FEEDBACK)
    log = write_log([log_row("a", text="so so"), log_row("b")])
    assert store.add(read(log).labels) == 1
    assert pd.read_parquet(store.url).to_dict("records") == [
        {
            "text": "so so",
            "label": "neutral",
            "group_id": group_of_text("so so"),
            "row_id": "feedback:a:0",
            "source": "feedback",
            "split": "train",
            "predicted_at": "2026-11-22T11:00:00.000+00:00",
            "labelled_at": "2026-11-22T11:30:00.000+00:00",
            "labelled_by": "ann",
        }
    ]


@pytest.mark.parametrize("text", [None, HASH_PREFIX + "0123456789abcdef"])
def test_without_kept_texts_there_is_nothing_to_train_on(
    log_row: Row, write_log: WriteLog, store: LabelStore, text: str | None
) -> None:
    write_log([feedback("a", "neutral")], kind=FEEDBACK)
    window = read(write_log([log_row("a", text=text)]))
    assert len(window.labelled) == 1
    assert store_labels(window, store.url) == ""
    assert len(pd.read_parquet(store.url)) == 0


def test_the_labels_of_every_window_stay_and_the_last_label_counts(
    log_row: Row, write_log: WriteLog, store: LabelStore
) -> None:
    write_log([feedback("old", "neutral", EARLIER)], kind=FEEDBACK, date="2026-11-21")
    log = write_log([log_row("old", timestamp=EARLIER, text="an old one")], date="2026-11-21")
    store.add(read(log, datetime(2026, 11, 21, 12, tzinfo=UTC)).labelled)
    write_log([feedback("new", "positive")], kind=FEEDBACK)
    write_log([log_row("new")])
    window = read(log)
    assert window.labelled["row_id"].tolist() == ["feedback:new:0"]
    assert store.add(window.labelled) == 2
    assert store.add(window.labelled) == 2
    write_log([feedback("new", "negative", "2026-11-22T11:40:00.000+00:00")], kind=FEEDBACK)
    assert store.add(read(log).labelled) == 2
    assert store.add(window.labelled) == 2
    rows = pd.read_parquet(store.url)
    assert rows[["row_id", "label"]].to_numpy().tolist() == [
        ["feedback:old:0", "neutral"],
        ["feedback:new:0", "negative"],
    ]


def test_a_late_label_is_stored_with_the_time_of_its_prediction(
    log_row: Row, write_log: WriteLog, store: LabelStore, tmp_path: Path
) -> None:
    write_log([log_row("old", timestamp=EARLIER, text="late")], date="2026-11-21")
    log = write_log([log_row("new")])
    history = History(str(tmp_path / "history"))
    window = read(log)
    assert store_labels(window, store.url, log=log, history=history.url) == ""
    assert history.stored_labels() == 0
    # The label is given two days after the window of its prediction was judged.
    write_log([feedback("old", "neutral")], kind=FEEDBACK)
    kept = {store_labels(window, store.url, log=log, history=history.url) for _ in range(2)}
    assert len(kept) == 1
    (row,) = pd.read_parquet(store.url).to_dict("records")
    assert (row["text"], row["label"], row["predicted_at"]) == ("late", "neutral", EARLIER)
    assert history.stored_labels() == 1


def test_every_user_keeps_a_label_and_the_store_has_a_version_of_each_content(
    log_row: Row, write_log: WriteLog, store: LabelStore
) -> None:
    write_log([feedback("a", "neutral", user="ann")], kind=FEEDBACK)
    log = write_log([log_row("a", text="so so")])
    first = store_labels(read(log), store.url)
    write_log([feedback("a", "positive", "2026-11-22T11:40:00.000+00:00", user="bob")], kind=FEEDBACK)
    window = read(log)
    assert (len(window.labelled), len(window.labels)) == (1, 2)
    second = store_labels(window, store.url)
    # Two users disagree: the text is set apart, with both labels, until a third decides.
    assert second == ""
    quarantine = pd.read_json(store.url.replace(".parquet", "-quarantine.jsonl"), lines=True)
    assert quarantine[["text", "true_label", "labelled_by", "why"]].to_numpy().tolist() == [
        ["so so", "neutral", "ann", "users disagree about the text"],
        ["so so", "positive", "bob", "users disagree about the text"],
    ]
    write_log([feedback("a", "neutral", "2026-11-22T11:50:00.000+00:00", user="eve")], kind=FEEDBACK)
    third = store_labels(read(log), store.url)
    assert len(store.labels()) == 3
    assert store.rows()["label"].tolist() == ["neutral"]
    assert pd.read_parquet(first)["labelled_by"].tolist() == ["ann"]
    assert pd.read_parquet(third)["labelled_by"].tolist() == ["eve"]
    assert first != third


def test_a_fixed_share_of_the_texts_is_never_trained_on(log_row: Row, write_log: WriteLog, store: LabelStore) -> None:
    requests = [f"r{number}" for number in range(400)]
    write_log(
        [feedback(request, "positive", user=f"user-{n % 4}") for n, request in enumerate(requests)], kind=FEEDBACK
    )
    log = write_log([log_row(request, text=f"text of {request}") for request in requests])
    store.add(from_log(log, max_rows=10, end=NOON, hours=24).labels)
    first = store.rows()
    shares = first["split"].value_counts(normalize=True)
    assert shares["train"] == pytest.approx(0.65, abs=0.06)
    assert set(shares.index) == {"train", "test"}
    again = training_rows(store.labels()[::-1])
    assert dict(zip(again["text"], again["split"], strict=True)) == dict(
        zip(first["text"], first["split"], strict=True)
    )
