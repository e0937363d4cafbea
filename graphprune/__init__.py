"""graphprune: makes a trained ONNX model physically smaller, and proves what it did."""
