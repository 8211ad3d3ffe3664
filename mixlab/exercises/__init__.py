"""The exercises of the lessons, one file a lesson: each maps names to functions that say what is wrong, or None."""
