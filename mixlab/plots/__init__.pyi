# The public names of this package, each with the file it lives in.
from .calibration import plot_bins as plot_bins
from .calibration import plot_calibration as plot_calibration
from .calibration import plot_confidence as plot_confidence
from .calibration import plot_murphy as plot_murphy
from .calibration import plot_rejection as plot_rejection
from .calibration import plot_smooth as plot_smooth
from .figures import Picture as Picture
from .figures import picture as picture
from .figures import plot_history as plot_history
from .figures import plot_intervals as plot_intervals
from .figures import plot_lambda as plot_lambda
from .figures import plot_mixed as plot_mixed
from .figures import plot_reliability as plot_reliability

__all__: list[str]
