"""The blend panel: two examples of other kinds than images, and what lies between them."""
