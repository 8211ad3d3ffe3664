"""Where the project is in public. If it moves, change it here; a test finds the other files that say it."""

REPOSITORY = "https://github.com/mixlab/mixlab"
PUBLIC_SITE = "https://mixlab.github.io/mixlab"
HOSTED = "hosted"  # the branch with the lessons for Colab and Kaggle, which the site's workflow writes


def hosts(lesson: str) -> dict[str, str]:
    """Where a lesson, such as "01_lambda", opens with nothing installed, by the name of who runs it."""
    owner = REPOSITORY.removeprefix("https://github.com/")
    copy = f"{owner}/blob/{HOSTED}/{lesson}.ipynb"
    return {
        "Binder": f"https://mybinder.org/v2/gh/{owner}/HEAD?urlpath=lab/tree/notebooks/{lesson}.ipynb",
        "Colab": f"https://colab.research.google.com/github/{copy}",
        "Kaggle": f"https://kaggle.com/kernels/welcome?src=https://github.com/{copy}",
    }
