"""What every test in a browser ends with."""

from panel_runs import no_training_left

__all__ = ["no_training_left"]
