"""What the panels share: the widget and its module, the law of λ, pairs of images, a training in a thread."""
