"""Image encoders: networks that turn images into embeddings and feature maps."""
