"""What a stage is, and the store that keeps what stages make."""
