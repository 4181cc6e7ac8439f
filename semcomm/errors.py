"""The errors of semcomm. Each message says what was wrong, where, and what to do."""


class SemcommError(Exception):
    """Base of every error that semcomm raises on purpose; the commands print it without a traceback."""


class ImageError(SemcommError):
    """An image or a folder of images cannot be used."""


class ConfigurationError(SemcommError):
    """An experiment file, an option or a combination of components makes no sense."""


class RateError(SemcommError):
    """A budget of bits or channel uses cannot be met. In a sweep it becomes a row marked `infeasible`."""


class DecodeError(SemcommError):
    """A payload that cannot be decoded. A link catches it and uses its stated fill."""


class MetricError(SemcommError):
    """A metric is not defined for these images."""


class ModelError(SemcommError):
    """Weights are missing, damaged or of the wrong kind."""


class RunError(SemcommError):
    """A run's folder cannot be used or written."""


class StudyError(SemcommError):
    """A study of raters cannot be made, opened or changed, or what a rater sent does not fit it."""
