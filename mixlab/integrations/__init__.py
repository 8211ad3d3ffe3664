"""Mixing inside other libraries: DataLoader, torchvision, Lightning, Hugging Face."""
