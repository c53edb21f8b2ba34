"""The controller's needs of the outside world, one small port each. Adapters implement ports; bootstrap binds them.

Every method may raise ``TransientError`` (ask again later) or ``PermanentError`` (a person must act), and never an
exception of another library. Every writing method is safe to repeat.
"""
