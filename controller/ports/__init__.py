"""The controller's needs of the world, each as small as its use. Adapters implement these; bootstrap binds them.

Every method may raise ``TransientError`` (ask again later) or ``PermanentError`` (a person must act); nothing else of a
vendor's gets through. Every writing method is safe to repeat.
"""
