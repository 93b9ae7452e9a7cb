"""The differentiable forward model and the networks, on ``keras.ops`` (TensorFlow, JAX or PyTorch)."""
