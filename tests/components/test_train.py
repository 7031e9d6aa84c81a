from __future__ import annotations

import numpy as np
import pandas as pd

from components.train import soft_targets


def test_votes_become_shares_in_contract_order() -> None:
    frame = pd.DataFrame({"label": ["positive"], "ratings": [[-2, 0, 1, 4]]})
    np.testing.assert_allclose(soft_targets(frame), [[0.25, 0.25, 0.5]])


def test_rows_without_ratings_have_all_weight_on_their_label() -> None:
    frame = pd.DataFrame({"label": ["neutral", "negative"], "ratings": [None, np.array([])]})
    np.testing.assert_allclose(soft_targets(frame), [[0, 1, 0], [1, 0, 0]])
    np.testing.assert_allclose(soft_targets(frame.drop(columns="ratings")), [[0, 1, 0], [1, 0, 0]])
