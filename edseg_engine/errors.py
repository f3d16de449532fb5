"""The exceptions of the engine. Each carries one sentence for the user and the exit code of the command line."""

from __future__ import annotations


class EdsegError(Exception):
    """Base of every error a user can meet; ``exit_code`` is what the command returns."""

    exit_code = 1


class OptionError(EdsegError):
    """An option has a value that makes no sense, or two options contradict each other."""

    exit_code = 2


class MapFormatError(EdsegError):
    """The input cannot be read as a map or as reflections."""

    exit_code = 3


class MapContentError(EdsegError):
    """The input was read, but its values are not a density: NaNs, a constant, an absurd cell."""

    exit_code = 4


class PhaseError(EdsegError):
    """A reflection file without the map coefficients or phases that were requested."""

    exit_code = 5


class ResolutionError(EdsegError):
    """The resolution is missing and not stored in the file, or lies outside every range."""

    exit_code = 6


class WeightsError(EdsegError):
    """The weights are missing, damaged or of another kind."""

    exit_code = 7


class OutputError(EdsegError):
    """The results cannot be written at the requested place."""

    exit_code = 8


class DeviceError(EdsegError):
    """The device does not exist, or there is not enough memory on it."""

    exit_code = 9


class ModelFormatError(EdsegError):
    """A coordinate file (PDB, mmCIF) or a sequence that cannot be used."""

    exit_code = 10


class TrainingDataError(EdsegError):
    """Training or evaluation data that cannot be used."""

    exit_code = 11


class DependencyError(EdsegError):
    """A package that only some commands need is not installed."""

    exit_code = 12


class BuildError(EdsegError):
    """A program that builds or refines models stopped, or there is nothing to build."""

    exit_code = 13


class ProgramCrash(BuildError):
    """Such a program was ended by a signal, as by a fault of its own."""


class ResultFormatError(EdsegError):
    """A directory that cannot be read as the result of a run."""

    exit_code = 14


class SomeMapsFailed(EdsegError):
    """A batch has come to its end, and some of its maps have no result."""

    exit_code = 15


class NoMapWorked(EdsegError):
    """A batch has come to its end, and none of its maps has a result."""

    exit_code = 16


class DownloadError(EdsegError):
    """A server that does not give a file, or another than asked for."""

    exit_code = 17


class Cancelled(Exception):
    """The caller asked the run to stop: nothing went wrong, and no handler of `EdsegError` catches it."""

    exit_code = 130


#: What ends a command with a sentence and an exit code of its own.
REPORTED = (EdsegError, Cancelled)
