"""The ONNX files of a trained model, which has one stage, or two if it is a cascade."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from rich.progress import track

from components.modelling.cascade import Cascade, stage_folders
from components.modelling.graphs.building import OPSET, Feed
from components.modelling.graphs.quantization import quantize
from components.modelling.graphs.two_stages import joined


@dataclass(frozen=True)
class Stage:
    """One Hugging Face model, exported to FP32."""

    config: dict[str, Any]
    """The content of its `config.json`."""
    fp32: Path


@dataclass(frozen=True)
class Stages:
    """All stages of a model, the one that reads every text first."""

    stages: Sequence[Stage]
    cascade: Cascade | None

    @classmethod
    def of(cls, model_folder: Path, scratch: Path) -> Stages:
        """Export the stages of a Hugging Face model folder to the folder `scratch`."""
        folders = enumerate(stage_folders(model_folder))
        stages = [_exported(folder, scratch / f"{number}.onnx") for number, folder in folders]
        return cls(stages, Cascade.of(model_folder))

    def write_fp32(self, path: Path) -> None:
        """Write the FP32 model."""
        self._write([stage.fp32 for stage in self.stages], path)

    def write_int8(self, path: Path, calibration: Sequence[Feed]) -> None:
        """Write the INT8 model; `calibration` are inputs of real texts, one feed a run of the FP32 model."""
        written = [stage.fp32.with_suffix(".int8") for stage in self.stages]
        for stage, int8 in zip(self.stages, written, strict=True):
            quantize(stage.fp32, int8, track(calibration, description="calibrating"), stage.config)
        self._write(written, path)

    def _write(self, models: Sequence[Path], path: Path) -> None:
        if self.cascade is None:
            shutil.copyfile(models[0], path)
        else:
            onnx.save(joined(onnx.load(models[0]), onnx.load(models[1]), self.cascade), path)


def _exported(folder: Path, path: Path) -> Stage:
    from optimum.exporters.onnx import main_export

    with tempfile.TemporaryDirectory() as scratch:
        main_export(str(folder), scratch, task="text-classification", opset=OPSET, do_validation=False)
        shutil.move(Path(scratch, "model.onnx"), path)
    return Stage(json.loads((folder / "config.json").read_text(encoding="utf-8")), path)
