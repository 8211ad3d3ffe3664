"""The law of λ on sliders."""
