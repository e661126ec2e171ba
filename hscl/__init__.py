"""Hierarchical supervised contrastive learning for multimodal sentiment analysis."""
