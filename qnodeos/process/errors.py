"""What a NetQASM host is told when its bytes or its program cannot be used.

ProcessError
├── FrameError          a frame that is no message of the host protocol
├── SubroutineError     bytes that are no subroutine: version, length, opcode, register
└── ProgramError        a command that cannot be carried out
    └── LimitError      a command that asks for more than a process may have
"""

from __future__ import annotations

from qnodeos.errors import QnodeosError


class ProcessError(QnodeosError):
    """Ends one process or one connection, and nothing else."""


class FrameError(ProcessError):
    """The bytes are no message of the host protocol."""


class SubroutineError(ProcessError):
    """The bytes are no subroutine in the flavour of this node."""


class ProgramError(ProcessError):
    """A command cannot be carried out; the message names its line."""


class LimitError(ProgramError):
    """A command asks for more than a process may have."""
