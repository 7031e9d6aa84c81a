from __future__ import annotations

from pathlib import Path

import pytest

from feature_checks import thresholds


def test_an_unknown_threshold_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "thresholds.toml"
    path.write_text(thresholds.DEFAULT.read_text().replace("min_rows", "minimum_rows"))
    with pytest.raises(TypeError, match="minimum_rows"):
        thresholds.load(path)


def test_int8_must_agree_with_torch_on_985_of_1000_labels() -> None:
    assert thresholds.load().verify.min_label_agreement >= 0.985
