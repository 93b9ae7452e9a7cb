"""The network: differentiable physics on ``keras.ops`` (TensorFlow, JAX or PyTorch), training, inference."""
