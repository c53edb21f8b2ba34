"""How long tests wait for what must come, on a machine however busy and slow.

Nothing may come sooner for it: what is there at once is seen at once. Whether something is quick is a question for the
benchmarks; a test says what happens, and fails after this long if it does not.
"""

from typing import Final

PATIENCE_S: Final = 90.0
