"""The objects that Serin writes, each by one pure function that returns its manifest.

Every field that the server would fill in is written, so that what is read back equals what was written.
"""
