# The public names of this package, each with the file it lives in.
from .calibration import plot_bins as plot_bins
from .calibration import plot_confidence as plot_confidence
from .calibration import plot_murphy as plot_murphy
from .calibration import plot_rejection as plot_rejection
from .calibration import plot_smooth as plot_smooth
from .comparison import plot_intervals as plot_intervals
from .comparison import plot_label_errors as plot_label_errors
from .heat import plot_heat as plot_heat
from .lines import plot_lines as plot_lines
from .mixing import plot_lambda as plot_lambda
from .mixing import plot_mixed as plot_mixed
from .reliability_diagram import plot_reliability as plot_reliability
from .style import Picture as Picture
from .style import picture as picture
from .table import table as table
from .training import plot_history as plot_history

__all__: list[str]
