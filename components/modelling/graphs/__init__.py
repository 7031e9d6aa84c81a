"""The ONNX graphs of a trained model: FP32 as exported, INT8, and two models in one."""
