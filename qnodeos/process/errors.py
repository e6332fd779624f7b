"""What a NetQASM host is told when its bytes cannot be used.

ProcessError
├── FrameError          a frame that is no message of the host protocol
└── SubroutineError     bytes that are no subroutine: version, length, opcode, register
"""

from __future__ import annotations

from qnodeos.errors import QnodeosError


class ProcessError(QnodeosError):
    """Ends one process or one connection, and nothing else."""


class FrameError(ProcessError):
    """The bytes are no message of the host protocol."""


class SubroutineError(ProcessError):
    """The bytes are no subroutine in the flavour of this node."""
